import { startRedis } from '@nest-baton/testing';
import { type Bench, type Pairs, type ReferenceFigure, type Use } from '../../harness/index.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';

const FLOOR = 'raw read, lease, Lua ack';
const OURS = 'ours';
const BULLMQ = 'BullMQ';
const TRANSPORTER = 'streams-transporter';
const BULLMQ_DEFAULTS = 'BullMQ, defaults';
const TRANSPORTER_DEFAULTS = 'streams-transporter, defaults';
const OUR_DEFAULTS = 'ours, defaults';

/** On every side that has one; also the COUNT of the floor's and the transporter's reads. */
const CONCURRENCY = 100;
const OUR_DEFAULT_CONCURRENCY = 10;
/** Sides that a target speaks of; the others are those with their defaults. */
const COMPARED = 4;

const REFERENCES = [
  figure(FLOOR, [35_841, 23_145], 'reads of 200'),
  figure(BULLMQ, [13_214, 6_046], 'concurrency 100, completed jobs removed'),
  figure(TRANSPORTER, [4_920, 7_116], 'end to end'),
];

/** One Redis without persistence, on which everybody has keys of their own; a backlog, handlers that do nothing. */
export async function measureThroughput(bench: Bench<TargetId>): Promise<void> {
  await bench.section('throughput', async (use) => {
    const count = bench.pick(20_000, 3_000);
    const pairs = await compare(bench, use, count);
    const note = `backlog of ${count}, concurrency ${CONCURRENCY}`;
    bench.meets('bullmq', pairs.ratio('perSecond', OURS, BULLMQ), note);
    bench.meets(
      'transporter',
      pairs.ratio('perSecond', OURS, TRANSPORTER),
      `${note}; it has no leases and works one by one`,
    );
    bench.meets('floor', pairs.ratio('perSecond', OURS, FLOOR), note);
    for (const reference of REFERENCES) bench.compareWithReference(reference, pairs.of(reference.name, 'perSecond'));
    for (const name of pairs.subjects) {
      bench.shows(name, pairs.of(name, 'perSecond'), 'hand-offs/s');
      bench.shows(`${name}: CPU of the client`, pairs.of(name, 'cpuUs'), 'us/hand-off');
    }
  });
}

async function compare(bench: Bench<TargetId>, use: Use, count: number): Promise<Pairs> {
  const { url } = use(await startRedis({ exclusive: true }));
  const sides = [
    { name: FLOOR, subject: 'floor', concurrency: CONCURRENCY, count },
    { name: OURS, subject: 'ours', concurrency: CONCURRENCY, count },
    { name: BULLMQ, subject: 'bullmq', concurrency: CONCURRENCY, count },
    { name: TRANSPORTER, subject: 'transporter', batchSize: CONCURRENCY, count },
    { name: OUR_DEFAULTS, subject: 'ours', concurrency: OUR_DEFAULT_CONCURRENCY, count: count / 4 },
    { name: BULLMQ_DEFAULTS, subject: 'bullmq', count: count / 10 },
    { name: TRANSPORTER_DEFAULTS, subject: 'transporter', count: count / 4 },
  ];
  const subjects = await Promise.all(
    sides.slice(0, bench.pick(sides.length, COMPARED)).map(async ({ name, subject, count: own, ...setup }, index) => {
      const remote = use(await startSubject(name, subject, { url, service: `bench-${index}`, ...setup }));
      return { name, run: () => remote.run({ count: own }) };
    }),
  );
  return bench.interleave(subjects, 'perSecond');
}

function figure(name: string, runs: readonly number[], conditions: string): ReferenceFigure {
  return { name, runs, dependsOn: ['cpu', 'loopback'], conditions };
}
