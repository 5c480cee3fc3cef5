import type { Sample } from '../../harness/measuring/pairs.js';
import { LatencyHistogram } from '../../harness/latency/latency-histogram.js';
import { CHUNK_BYTES } from '../subjects/stream-subject.js';

/** Says in its first bytes which chunk of its stream it is, and when it was due. */
export function stampedChunk(nth: number, dueNs: bigint): Buffer {
  const chunk = Buffer.alloc(CHUNK_BYTES, '.');
  chunk.write(`${nth} ${dueNs} `);
  return chunk;
}

/** Only wakes readers; not counted. */
export function warmingChunk(): Buffer {
  return stampedChunk(-1, 0n);
}

/** The machine's monotonic clock, so that processes can compare. */
export function nowNs(): bigint {
  return process.hrtime.bigint();
}

/** What several readers got, each of one stream, and how late: from when a chunk was due to when its reader had it. */
export class ArrivalLog {
  private histogram = new LatencyHistogram();
  private tails = new Map<string, number>();
  private disorder = 0;
  private readonly warm = new Set<string>();

  arrived(reader: string, data: Uint8Array): void {
    const now = nowNs();
    this.warm.add(reader);
    const [nth, due] = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('latin1').split(' ', 2);
    if (nth === '-1') return;
    if (Number(nth) !== (this.tails.get(reader) ?? -1) + 1) this.disorder++;
    this.tails.set(reader, Number(nth));
    this.histogram.record(Number(now - BigInt(due as string)) / 1e6);
  }

  /** Readers that have got anything. */
  get warmReaders(): number {
    return this.warm.size;
  }

  get received(): number {
    return this.histogram.count;
  }

  /** `disorder` counts chunks that were not the next one of their reader: one was lost, repeated or overtaken. Begins anew. */
  take(): Sample {
    const sample = { received: this.received, disorder: this.disorder, ...this.histogram.toSample() };
    this.histogram = new LatencyHistogram();
    this.tails = new Map();
    this.disorder = 0;
    return sample;
  }
}
