import type { BatonError } from '@nest-baton/core';
import { ProducerFencedError, ProducerSeqGapError, StreamClosedError } from '../pg-stream.errors.js';
import type { StreamEnd } from '../reading/chunk.js';

/** Why the database did not do what was asked. Nothing was written. */
export type Refusal =
  | { readonly refusal: 'fenced'; readonly currentEpoch: number }
  | { readonly refusal: 'gap'; readonly expectedSeq: number }
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
    case 'closed':
      return new StreamClosedError(
        `the stream '${stream}' is closed with status '${refusal.end.status}'.`,
        refusal.end,
      );
  }
}
