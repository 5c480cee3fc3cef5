import type { BatonError } from '@nest-baton/core';
import {
  ExpectedIndexMismatchError,
  ProducerFencedError,
  ProducerSeqGapError,
  StreamClosedError,
  StreamExistsError,
  StreamNotFoundError,
} from '../pg-stream.errors.js';
import type { StreamEnd } from '../reading/chunk.js';

/** Why the database did not do what was asked. Nothing was written. */
export type Refusal =
  | { readonly refusal: 'fenced'; readonly currentEpoch: number }
  | { readonly refusal: 'gap'; readonly expectedSeq: number }
  | { readonly refusal: 'misplaced'; readonly nextIndex: number }
  | { readonly refusal: 'existed' | 'missing' }
  /** A writer's number was used, and not by itself. */
  | { readonly refusal: 'taken' }
  | { readonly refusal: 'closed'; readonly end: StreamEnd };

export function isRefusal(verdict: object): verdict is Refusal {
  return 'refusal' in verdict;
}

/** Pure. */
export function refusalError(
  stream: string,
  producer: { readonly id: string; readonly epoch: number; readonly seq?: number } | undefined,
  refusal: Refusal,
): BatonError {
  switch (refusal.refusal) {
    case 'fenced':
      return new ProducerFencedError(
        `the stream '${stream}' has been opened with epoch ${refusal.currentEpoch} of producer '${producer?.id}', above ${producer?.epoch}: ` +
          'stop this work, it has a newer owner.',
        refusal.currentEpoch,
      );
    case 'gap':
      return new ProducerSeqGapError(
        `producer '${producer?.id}' sent number ${producer?.seq} to the stream '${stream}', where ${refusal.expectedSeq} is due in epoch ${producer?.epoch}: ` +
          'repeat the calls that were not acknowledged, in order, and use each number once.',
        refusal.expectedSeq,
      );
    case 'taken':
      return new ProducerFencedError(
        `another writer has used number ${producer?.seq} of producer '${producer?.id}' on the stream '${stream}' in the same epoch ${producer?.epoch}: ` +
          'this call was not stored. Give each owner an epoch of its own.',
        producer?.epoch ?? 0,
      );
    case 'misplaced':
      return new ExpectedIndexMismatchError(
        `the next chunk of the stream '${stream}' goes to ${refusal.nextIndex}, and not to the expectedIndex: somebody else has written it, or ` +
          'an earlier attempt of this call is stored.',
        refusal.nextIndex,
      );
    case 'existed':
      return new StreamExistsError(`the stream '${stream}' exists already: open it with ifExists: 'resume'.`);
    case 'missing':
      return new StreamNotFoundError(`nobody has opened or written the stream '${stream}', or it was deleted.`);
    case 'closed':
      return new StreamClosedError(
        `the stream '${stream}' is closed with status '${refusal.end.status}'.`,
        refusal.end,
      );
  }
}
