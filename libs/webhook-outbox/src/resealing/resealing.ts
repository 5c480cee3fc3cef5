import { describeError } from '@nest-baton/core';
import { LOWEST_ID } from '../endpoints/endpoint-store.js';
import type { KeyRing } from '../endpoints/key-ring.js';
import { headersPlace, legacyPlace } from '../endpoints/sealed-headers.js';
import { sealedPlace } from '../signing/signing-key.js';
import { EndpointSecretError, KeyRingInvalidError } from '../webhook-outbox.errors.js';
import type { ResealedPart, ResealStore, SealedPart } from './reseal-store.js';

/** What others change meanwhile is looked at again; they seal with the first key of their own ring, which need not be ours. */
const MOST_ROUNDS = 5;

interface Round {
  readonly resealed: number;
  /** Changed or locked by somebody else at that moment. */
  readonly missed: number;
}

/**
 * Seals with the first key of the ring whatever is sealed with another, a page of endpoints at a time.
 *
 * - Each page is committed: whoever is stopped in between goes on from there with the next call.
 * - What does not open stays as it is, and keeps nothing else from being sealed.
 */
export class Resealing {
  private failures = 0;
  private first: unknown;

  constructor(
    private readonly store: ResealStore,
    private readonly ring: KeyRing,
  ) {}

  /**
   * Returns how many secrets, sets of headers and legacy signatures were sealed anew.
   *
   * @throws KeyRingInvalidError when some do not open, after the others; EndpointSecretError when others change some all the time.
   */
  async run(signal: AbortSignal | undefined): Promise<number> {
    let resealed = 0;
    for (let rounds = 0; rounds < MOST_ROUNDS; rounds++) {
      const round = await this.round(signal);
      resealed += round.resealed;
      if (this.failures > 0) throw this.failed();
      if (round.missed === 0) return resealed;
    }
    throw new EndpointSecretError('Secrets are being changed by others all the time; seal the rest later.', {
      retryable: true,
    });
  }

  private async round(signal: AbortSignal | undefined): Promise<Round> {
    const { store, ring } = this;
    let resealed = 0;
    let missed = 0;
    for (let after = LOWEST_ID; ;) {
      signal?.throwIfAborted();
      const found = await store.page(ring.firstId, after);
      const last = found.at(-1);
      if (last === undefined) return { resealed, missed };
      after = last.endpointId;
      const anew = found.flatMap((part) => this.sealed(part) ?? []);
      const written = await store.replace(anew);
      resealed += written;
      missed += anew.length - written;
    }
  }

  private sealed(from: SealedPart): ResealedPart | undefined {
    const place = placeOf(from);
    try {
      return { from, to: this.ring.seal(this.ring.open(from, place), place) };
    } catch (error) {
      this.failures++;
      this.first ??= error;
      return undefined;
    }
  }

  private failed(): KeyRingInvalidError {
    return new KeyRingInvalidError(
      `keys open not all that is sealed: ${this.failures} left as they were, the others are sealed anew. ${describeError(this.first)}`,
      { cause: this.first },
    );
  }
}

function placeOf({ endpointId, part, kind }: SealedPart): string {
  if (part === 'headers') return headersPlace(endpointId);
  return part === 'legacy' ? legacyPlace(endpointId) : sealedPlace(kind ?? 'v1', endpointId);
}
