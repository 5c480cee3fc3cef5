import { BatonError } from '@nest-baton/core';

/** The event's type, id, tenant or data cannot be sent. Nothing was written. */
export class EventInvalidError extends BatonError {
  override readonly code = 'EVENT_INVALID';
}

/** The event's JSON is longer than `maxPayloadBytes`. Nothing was written. */
export class PayloadTooLargeError extends BatonError {
  override readonly code = 'PAYLOAD_TOO_LARGE';
}

/** An event with this id and other content is stored already. Nothing was written. */
export class EventConflictError extends BatonError {
  override readonly code = 'EVENT_CONFLICT';
}

/** The connection was lost while the event was being written: it may or may not be stored. Repeat `send` with `eventId` as `id`. */
export class PersistUnknownError extends BatonError {
  override readonly code = 'PERSIST_UNKNOWN';

  constructor(
    message: string,
    readonly eventId: string,
    options: { readonly cause?: unknown } = {},
  ) {
    super(message, { ...options, retryable: true });
  }
}

/** An endpoint's URL, headers, types or secret are refused. Nothing was written. */
export class EndpointInvalidError extends BatonError {
  override readonly code = 'ENDPOINT_INVALID';
}

/** The key ring cannot open the secrets that are stored. The relay does not start: it would send unsigned or not at all. */
export class KeyRingInvalidError extends BatonError {
  override readonly code = 'KEY_RING_INVALID';
}
