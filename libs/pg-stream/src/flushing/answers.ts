import type { CallGroup, Placed } from './write-call.js';

interface PlacedRange {
  readonly verdict: 'appended' | 'duplicate' | 'ended';
  readonly firstIndex?: number;
  readonly lastIndex?: number;
}

/**
 * What each call of a group is told. Of calls that were stored together the places follow from the last one's. Of duplicates only the last one's
 * are known, unless it was this very group that was sent before. Pure.
 */
export function answersOf({ calls }: CallGroup, written: PlacedRange): readonly Placed[] {
  const wasSentBefore = calls.some(({ wasSent }) => wasSent);
  const duplicate = written.verdict === 'duplicate';
  const isTogether = !duplicate || wasSentBefore || calls.length === 1;
  let end = written.lastIndex ?? -1;
  const answers: Placed[] = [];
  for (let nth = calls.length - 1; nth >= 0; nth--) {
    const count = calls[nth]?.chunks.length ?? 0;
    const isKnown = end >= 0 && count > 0;
    answers.push({
      firstIndex: isKnown ? end - count + 1 : -1,
      lastIndex: isKnown ? end : -1,
      duplicate,
      wasSentBefore,
    });
    end = isTogether && end >= 0 ? end - count : -1;
  }
  return answers.toReversed();
}
