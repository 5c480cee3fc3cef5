import { Pool } from 'undici';
import { expectCount, LatencyHistogram, openLoop, type Parameters, type ServedSubject } from '../../harness/index.js';
import { type LogLine, logLine } from '../documents.js';
import { startOurService } from './our-service.js';

interface LoneRun {
  readonly ratePerSecond: number;
  readonly durationMs: number;
}

/** One document at a time with nobody else there, every option at its default: `maxDelay` is a second. */
export async function startLoneOurs({ url }: Parameters): Promise<ServedSubject> {
  const { service, stop } = await startOurService({ url: String(url) });
  return { run: (parameters) => latencies(parameters, (doc) => service.ingestSync(doc)), stop };
}

/** The same document by a bare POST. */
export function startLonePost({ url }: Parameters): Promise<ServedSubject> {
  const pool = new Pool(String(url));
  const post = async (doc: LogLine): Promise<void> => {
    const headers = { 'content-type': 'application/x-ndjson' };
    const body = `${JSON.stringify(doc)}\n`;
    const answer = await pool.request({ method: 'POST', path: '/api/v1/logs/ingest', headers, body });
    await answer.body.dump();
    expectCount('status', answer.statusCode, 200);
  };
  return Promise.resolve({ run: (parameters) => latencies(parameters, post), stop: () => pool.close() });
}

async function latencies(parameters: Parameters, send: (doc: LogLine) => Promise<void>) {
  const { ratePerSecond, durationMs } = parameters as unknown as LoneRun;
  const histogram = new LatencyHistogram();
  const begun = await openLoop({
    ratePerSecond,
    durationMs,
    operation: (index) => send(logLine(index)),
    onLatency: (latencyMs) => histogram.record(latencyMs),
  });
  expectCount('latencies', histogram.count, begun);
  return histogram.toSample();
}
