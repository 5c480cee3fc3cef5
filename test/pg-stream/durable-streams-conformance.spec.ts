import { freshDatabase, startProcess } from '@nest-baton/testing';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DurableStreamsApp } from './support/durable-streams-app.js';

interface Report {
  readonly testResults: readonly {
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly failureMessages?: readonly string[];
    }[];
  }[];
}

const SUBSCRIPTIONS = 'Reserved subscription APIs';

/** Cases that the package itself runs only when they are asked for, with why they are not. */
const LEFT_OUT: Readonly<Record<string, string>> = Object.fromEntries(
  [
    'creates and idempotently re-confirms a webhook subscription',
    'rejects unsafe webhook URLs',
    'webhook synchronous done auto-acks the wake snapshot',
    'webhook callback acks and fences stale wake generations',
    'adds and removes explicit subscription streams',
    'pull-wake claim, ack, and release use subscription-scoped leases',
  ].map((name) => [
    `${SUBSCRIPTIONS} ${name}`,
    'subscriptions are an optional part of the protocol; to send webhooks is the work of @nest-baton/webhook-outbox',
  ]),
);

/** At least as many as when this was written: a package that runs nothing must not pass. */
const MIN_CASES = 332;

/** Cases that mostly wait run beside those that mostly work. Full names, in the syntax of `RegExp`. */
const WAITING = 'TTL|Offset Validation|Long-Poll|Stream Closure|Chunking|Browser';
const HALVES = [WAITING, `^(?!.*(${WAITING}))`];

type Cases = Report['testResults'][number]['assertionResults'];

async function runConformance(url: string): Promise<Cases> {
  return (await Promise.all(HALVES.map((names) => runCases(url, names)))).flat();
}

/** Those whose names match; the runner reports the others as skipped. */
async function runCases(url: string, names: string): Promise<Cases> {
  const folder = await mkdtemp(join(tmpdir(), 'conformance-'));
  try {
    const outputFile = join(folder, 'report.json');
    const suite = createRequire(import.meta.url).resolve('@durable-streams/server-conformance-tests/package.json');
    const vitest = dirname(createRequire(suite).resolve('vitest/package.json'));
    const runner = await startProcess({
      entry: join(vitest, 'vitest.mjs'),
      args: [
        'run',
        `--config=${join(import.meta.dirname, 'support/durable-streams-conformance.config.mjs')}`,
        '--reporter=json',
        `--outputFile=${outputFile}`,
        `--testNamePattern=${names}`,
      ],
      env: { CONFORMANCE_TEST_URL: url },
      cwd: dirname(suite),
    });
    await runner.exited;
    const report = JSON.parse(await readFile(outputFile, 'utf8')) as Report;
    const isOurs = new RegExp(names);
    return report.testResults
      .flatMap(({ assertionResults }) => assertionResults)
      .filter(({ fullName }) => isOurs.test(fullName));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

describe('the Durable Streams protocol', () => {
  it('passes every case of the public conformance suite but those of subscriptions', async () => {
    const { url, drop } = await freshDatabase();
    const served = await DurableStreamsApp.create(url);
    try {
      const cases = await runConformance(served.url);
      const failed = cases
        .filter(({ status }) => status === 'failed')
        .map(({ fullName, failureMessages }) => `${fullName}: ${failureMessages?.[0]?.slice(0, 500)}`);
      expect(failed).toEqual([]);
      expect(cases.filter(({ status }) => status === 'passed').length).toBeGreaterThanOrEqual(MIN_CASES);
      const leftOut = cases.filter(({ status }) => status !== 'passed').map(({ fullName }) => fullName);
      expect(leftOut.sort()).toEqual(Object.keys(LEFT_OUT).sort());
    } finally {
      await served.stop();
      await drop();
    }
  }, 120_000);
});
