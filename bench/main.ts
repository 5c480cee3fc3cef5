import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Benchmark, Scale } from './harness/benchmark.js';
import { isInstalledInBench } from './harness/reporting/machine.js';
import { type Results, writeResults } from './harness/reporting/results-file.js';
import { renderTable } from './harness/reporting/table.js';
import { runBenchmark } from './harness/run-benchmark.js';

const MODULES = ['ingest', 'pg-stream', 'webhook-outbox', 'redis-reconcile'];
/** Shows how a benchmark is written; not part of `all`. */
const EXAMPLE = 'example';
const USAGE = `usage: npm run bench -- ${MODULES.join('|')}|all [--short|--quick]`;

/** 0 whatever holds; 1 when a part of a benchmark could not run; 2 when it was called in a way that means nothing. */
async function main(args: readonly string[]): Promise<number> {
  const scale: Scale = args.includes('--quick') ? 'quick' : args.includes('--short') ? 'short' : 'full';
  const [module, ...rest] = args.filter((arg) => arg !== `--${scale}`);
  if (module === undefined || rest.length > 0 || ![...MODULES, EXAMPLE, 'all'].includes(module)) {
    console.error(USAGE);
    return 2;
  }
  if (!isInstalledInBench('hdr-histogram-js')) {
    console.error('The peers to compare with are not installed: run npm run bench:install.');
    return 1;
  }
  return module === 'all' ? runAll(scale) : runOne(module, scale);
}

/** Each module in a process of its own: what one leaves behind in memory must not slow the next. */
async function runAll(scale: Scale): Promise<number> {
  let worst = 0;
  for (const module of MODULES) {
    const args = [
      ...process.execArgv,
      fileURLToPath(import.meta.url),
      module,
      ...(scale === 'full' ? [] : [`--${scale}`]),
    ];
    const child = spawn(process.execPath, args, { stdio: 'inherit' });
    const [code] = (await once(child, 'exit')) as [number | null];
    worst = Math.max(worst, code ?? 1);
  }
  return worst;
}

async function runOne(module: string, scale: Scale): Promise<number> {
  const { default: benchmark } = (await import(`./${module}/benchmark.js`)) as { readonly default: Benchmark };
  const results = await runBenchmark(benchmark, scale, (text) => console.error(text));
  const folder = new URL(scale === 'quick' || module === EXAMPLE ? './results/quick/' : './results/', import.meta.url);
  writeResults(fileURLToPath(folder), results);
  console.log(summary(results));
  return results.failures.length === 0 ? 0 : 1;
}

function summary({ module, rows, invalidBecause, failures }: Results): string {
  const warnings = [
    ...invalidBecause.map((text) => `INVALID: ${text}`),
    ...failures.map((text) => `COULD NOT RUN: ${text}`),
  ];
  return ['', module, '', renderTable(rows), ...(warnings.length === 0 ? [] : ['', ...warnings])].join('\n');
}

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error);
  return 1;
});
