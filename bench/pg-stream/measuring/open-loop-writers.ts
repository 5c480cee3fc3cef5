import type { Sample } from '../../harness/measuring/pairs.js';
import { LatencyHistogram } from '../../harness/latency/latency-histogram.js';
import type { StreamSubject } from '../subjects/stream-subject.js';
import { nowNs, stampedChunk } from './stamped-chunks.js';

/**
 * Chunks are due at a fixed rate, whatever became of those before. Each stream has one writer, which sends one after another: a stream's order is
 * its writer's. The wait behind a slow append counts, for the acknowledgement and for the reader.
 */
export interface OpenLoad {
  readonly perSecond: number;
  readonly seconds: number;
  readonly streams: number;
}

/** `p50`, `p99`, `max`: from when a chunk was due to its acknowledgement. Rejects with the first append that fails. */
export async function writeAtRate(
  subject: Pick<StreamSubject, 'append'>,
  names: readonly string[],
  load: OpenLoad,
): Promise<Sample> {
  const writers = names.length;
  const intervalNs = BigInt(Math.round((1e9 * writers) / load.perSecond));
  const perWriter = chunksOf(load) / writers;
  const histogram = new LatencyHistogram();
  const begin = nowNs();
  await Promise.all(
    names.map(async (name, writer) => {
      // Writers begin one after another, so that the rate is even.
      const first = begin + (intervalNs * BigInt(writer)) / BigInt(writers);
      for (let nth = 0; nth < perWriter; nth++) {
        const due = first + intervalNs * BigInt(nth);
        await untilDue(due);
        await subject.append(name, stampedChunk(nth, due));
        histogram.record(Number(nowNs() - due) / 1e6);
      }
    }),
  );
  return { chunks: perWriter * writers, ...histogram.toSample() };
}

export function chunksOf({ perSecond, seconds, streams }: OpenLoad): number {
  return Math.max(1, Math.round((perSecond * seconds) / streams)) * streams;
}

/** A timer is late by a millisecond or so, the same for everybody. */
async function untilDue(due: bigint): Promise<void> {
  const waitMs = Number(due - nowNs()) / 1e6;
  if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
}
