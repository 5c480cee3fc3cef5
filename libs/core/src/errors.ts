/**
 * The ancestor of every error that Baton throws on purpose.
 *
 * - `code` is stable across versions and unique in the whole suite: match on it, not on `instanceof`, since two copies of a package
 *   have two classes.
 * - `retryable` says whether the same call may succeed later without a change by the caller.
 * - `message` names the values and the remedy; it never holds payloads or secrets.
 */
export abstract class BatonError extends Error {
  abstract readonly code: string;
  readonly retryable: boolean;

  constructor(message: string, options: { readonly cause?: unknown; readonly retryable?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.retryable = options.retryable ?? false;
  }
}

/** `transaction` was given, but no transaction is open on it, so the write would have committed by itself. */
export class NotInTransactionError extends BatonError {
  override readonly code = 'NOT_IN_TRANSACTION';
}

/** The module is shutting down and no longer admits this call. Nothing was written. */
export class ShuttingDownError extends BatonError {
  override readonly code = 'SHUTTING_DOWN';

  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super(message, { ...options, retryable: true });
  }
}

/** The lease under which this write was made belongs to somebody else now. Nothing was written; stop the work. */
export class LeaseLostError extends BatonError {
  override readonly code = 'LEASE_LOST';
}

/** Options or environment variables are wrong. `problems` holds one sentence for each, all found in one go. */
export class OptionsInvalidError extends BatonError {
  override readonly code = 'OPTIONS_INVALID';

  constructor(
    readonly subject: string,
    readonly problems: readonly string[],
  ) {
    super(`${subject} is not configured correctly:\n${problems.map((p) => `  - ${p}`).join('\n')}`);
  }
}

/** The server is reachable but too old for what this module relies on. */
export class ServerUnsupportedError extends BatonError {
  override readonly code = 'SERVER_UNSUPPORTED';
}

/**
 * `migrations: 'verify'` found migrations that have not been applied. Applied ones that this version does not know are no error: a newer
 * version runs beside this one while an upgrade rolls.
 */
export class MigrationsPendingError extends BatonError {
  override readonly code = 'MIGRATIONS_PENDING';
}
