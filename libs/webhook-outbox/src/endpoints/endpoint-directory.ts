import { type Clock, describeError } from '@nest-baton/core';
import { KeyRingInvalidError } from '../webhook-outbox.errors.js';
import type { LegacySignature } from '../signing/legacy-signature.js';
import { sealedPlace, type SigningKey, signingKeyOf } from '../signing/signing-key.js';
import type { EndpointRow, EndpointStore } from './endpoint-store.js';
import { openHeaders, openLegacy } from './sealed-headers.js';
import type { KeyRing } from './key-ring.js';

/** An endpoint as a request needs it, its secret opened. */
export interface OpenEndpoint {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** `null`: the module's. */
  readonly scheduleMs: readonly number[] | null;
  readonly legacy: LegacySignature | undefined;
  /** Of `v1`, then of `v1a`, the newest first; one of `v1` that does not expire is among them. */
  readonly secrets: readonly { readonly key: SigningKey; readonly until: number }[];
}

/** What a request is signed with that starts now, by the monotonic clock. */
export function liveSecrets({ secrets }: OpenEndpoint, now: number): readonly SigningKey[] {
  return secrets.filter(({ until }) => until > now).map(({ key }) => key);
}

/** @param readAt when the row was read, by the monotonic clock. @throws KeyRingInvalidError */
export function openEndpoint(ring: KeyRing, row: EndpointRow, readAt: number): OpenEndpoint {
  const { id, url, headers, legacy, scheduleMs } = row;
  const secrets = row.secrets.map((one) => ({
    key: signingKeyOf(one.kind, ring.open(one, sealedPlace(one.kind, id))),
    until: readAt + (one.leftMs ?? Infinity),
  }));
  if (!row.secrets.some(({ kind }) => kind === 'v1')) throw new KeyRingInvalidError(`Endpoint ${id} has no secret.`);
  return {
    url,
    headers: headers === null ? {} : openHeaders(ring, headers, id),
    legacy: legacy === null ? undefined : openLegacy(ring, legacy, id),
    scheduleMs,
    secrets,
  };
}

export interface WantedEndpoint {
  readonly endpointId: string;
  readonly endpointVersion: number;
}

/** Endpoints kept opened in memory; the oldest leave first. */
const MAX_KEPT = 10_000;

/** An endpoint whose secret does not open is left alone for so long; a repaired row is then noticed. */
const RETRY_UNUSABLE_MS = 30_000;

/**
 * Opens endpoints' secrets and keeps them by the endpoint's version, which each claim brings along: a changed endpoint is read again.
 */
export class EndpointDirectory {
  private readonly kept = new Map<string, { readonly version: number; readonly endpoint: OpenEndpoint }>();
  private readonly unusableUntil = new Map<string, number>();

  constructor(
    private readonly store: EndpointStore,
    private readonly ring: KeyRing,
    private readonly clock: Clock,
    private readonly onUnusable: (endpointId: string, error: string) => void,
  ) {}

  /**
   * Reads every active endpoint and opens its secret.
   *
   * @throws KeyRingInvalidError naming the first that does not open, and how many do not.
   */
  async verify(): Promise<void> {
    let failures = 0;
    let first: unknown;
    for await (const row of this.store.all()) {
      try {
        this.openRow(row);
      } catch (error) {
        failures++;
        first ??= error;
      }
    }
    if (failures > 0)
      throw new KeyRingInvalidError(
        `keys open not all secrets that are stored; ${failures} endpoint(s) cannot be signed for. ${describeError(first)}`,
        { cause: first },
      );
  }

  /** Ids whose deliveries are not to be claimed now. */
  unusable(): readonly string[] {
    for (const [id, until] of this.unusableUntil) if (until <= this.clock.monotonic()) this.unusableUntil.delete(id);
    return [...this.unusableUntil.keys()];
  }

  /** The endpoints that can be sent to; one that is gone or does not open is not in the answer. */
  async open(wanted: readonly WantedEndpoint[]): Promise<ReadonlyMap<string, OpenEndpoint>> {
    const missing = new Set(
      wanted
        .filter(({ endpointId, endpointVersion }) => this.kept.get(endpointId)?.version !== endpointVersion)
        .map(({ endpointId }) => endpointId),
    );
    const answer = new Map<string, OpenEndpoint>();
    if (missing.size > 0)
      for (const row of await this.store.load([...missing])) {
        const endpoint = this.tryOpen(row);
        if (endpoint !== undefined) answer.set(row.id, endpoint);
      }
    for (const { endpointId } of wanted) {
      const kept = this.kept.get(endpointId);
      if (kept !== undefined && !missing.has(endpointId)) answer.set(endpointId, kept.endpoint);
    }
    return answer;
  }

  /** @throws KeyRingInvalidError */
  private openRow(row: EndpointRow): OpenEndpoint {
    return openEndpoint(this.ring, row, this.clock.monotonic());
  }

  private tryOpen(row: EndpointRow): OpenEndpoint | undefined {
    try {
      const endpoint = this.openRow(row);
      this.kept.delete(row.id);
      this.kept.set(row.id, { version: row.version, endpoint });
      const oldest = this.kept.keys().next();
      if (this.kept.size > MAX_KEPT && oldest.done !== true) this.kept.delete(oldest.value);
      return endpoint;
    } catch (error) {
      this.unusableUntil.set(row.id, this.clock.monotonic() + RETRY_UNUSABLE_MS);
      this.onUnusable(row.id, describeError(error));
      return undefined;
    }
  }
}
