import 'reflect-metadata';
import { fileURLToPath } from 'node:url';
import { startBackends } from './backends.js';
import { Cleanup } from './cleanup.js';
import { Phase } from './phase.js';
import { startService } from './service-processes.js';
import { findSources, type Source } from './sources.js';
import { Terminal } from './terminal.js';

const RUNS_PER_PHASE = 20;

/** The middle run takes about this long: time to watch it, and to kill its worker half-way. */
const TYPICAL_RUN_MS = 8_000;

const root = fileURLToPath(new URL('..', import.meta.url));
const terminal = new Terminal(process.stdout);
const cleanup = new Cleanup();
const interrupted = new AbortController();

/** Resolves to true if and only if every row of both conservation counts holds. */
async function demo(paths: readonly string[]): Promise<boolean> {
  const sources = await findSources(paths, 2 * RUNS_PER_PHASE, root);
  const backends = await startBackends(cleanup);
  terminal.say(`Baton: ${2 * RUNS_PER_PHASE} runs in two phases. ${backends.origins}.`);
  const paceMs = paceOf(sources);
  let holds = true;
  let secret: string | undefined;
  for (const hints of ['on', 'off'] as const) {
    const phaseSources = hints === 'on' ? sources.slice(0, RUNS_PER_PHASE) : sources.slice(RUNS_PER_PHASE);
    terminal.say(
      `\nPhase ${hints === 'on' ? 1 : 2}, hints ${hints}: ${phaseSources.length} runs, one worker is killed, every reader is cut.`,
    );
    const processes = new Cleanup();
    await cleanup.own(Promise.resolve({ stop: () => processes.run() }));
    const service = await startService(backends, { hints, paceMs }, processes);
    terminal.note('api, worker-a and worker-b are ready');
    secret ??= await subscribe(service.api.baseUrl, backends.receiver.url);
    const rows = await new Phase(service, backends, terminal, secret, interrupted.signal).play(phaseSources);
    holds &&= rows.every((row) => row.holds);
    await processes.run();
  }
  return holds;
}

async function subscribe(baseUrl: string, url: string): Promise<string> {
  const response = await fetch(`${baseUrl}/webhook-endpoints`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ url, types: ['run.*'] }),
  });
  if (response.status !== 201)
    throw new Error(`POST /webhook-endpoints answered ${response.status}: ${await response.text()}`);
  return ((await response.json()) as { secret: string }).secret;
}

function paceOf(sources: readonly Source[]): number {
  const lines = sources.map((source) => source.lines).sort((a, b) => a - b);
  const median = Math.max(lines[Math.floor(lines.length / 2)] ?? 1, 1);
  return Math.min(Math.max(Math.round(TYPICAL_RUN_MS / median), 2), 2_000);
}

async function main(): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      terminal.say(`\n${signal}: stopping everything that was started.`);
      interrupted.abort(new Error(signal));
      void cleanup.run().then(() => process.exit(130));
    });
  const startedAt = performance.now();
  let holds = false;
  try {
    holds = await demo(process.argv.slice(2));
  } catch (error) {
    if (!interrupted.signal.aborted)
      terminal.say(`\nThe demo failed: ${String((error as { stack?: unknown } | null)?.stack ?? error)}`);
  }
  await cleanup.run();
  if (interrupted.signal.aborted) return;
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
  terminal.say(
    holds ? `Everything that went in came out, in ${seconds} s.` : `The count does NOT hold (${seconds} s).`,
  );
  process.exit(holds ? 0 : 1);
}

void main();
