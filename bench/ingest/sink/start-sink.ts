import { fileURLToPath } from 'node:url';
import { startProcess } from '@nest-baton/testing';
import type { Stoppable } from '../../harness/index.js';
import { SinkClient } from './sink-client.js';

export async function startSink(): Promise<SinkClient & Stoppable> {
  const child = await startProcess({ entry: fileURLToPath(new URL('./sink-program.ts', import.meta.url)) });
  const port = await child.waitForLine(/^\d+$/, 30_000);
  return Object.assign(new SinkClient(`http://127.0.0.1:${port.trim()}`), { stop: () => child.stop() });
}
