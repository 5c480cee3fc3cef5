import type { Random } from '@nest-baton/core';
import { seededRandom } from '@nest-baton/testing';
import fc from 'fast-check';
import { AdaptiveConcurrency, type AttemptSample, type ConcurrencyBounds } from './adaptive-concurrency.js';

const MIB = 1_024 * 1_024;

/** What a server does with a request that is one of `inFlight`, at `nowMs`. */
type Server = (inFlight: number, nowMs: number, random: Random) => Pick<AttemptSample, 'outcome' | 'durationMs'>;

interface Simulation {
  readonly bounds: ConcurrencyBounds;
  readonly server: Server;
  readonly seconds: number;
  /** Requests that want to run at once; the limit holds the rest back. */
  readonly callers?: (nowMs: number) => number;
  /** How long a caller rests between two of its requests, in milliseconds. */
  readonly restMs?: number;
  readonly bytes?: (random: Random) => number;
}

interface Course {
  /** The limit each millisecond. */
  readonly limits: readonly number[];
  readonly taken: number;
  readonly overloaded: number;
  /** Of a part of the time. */
  mean(fromSecond: number, toSecond: number): number;
  range(fromSecond: number, toSecond: number): [number, number];
}

/** Virtual time in steps of a millisecond; the same seed gives the same course. */
function simulate({ bounds, server, seconds, callers, restMs = 0, bytes }: Simulation, seed = 1): Course {
  const random = seededRandom(seed);
  let nowMs = 0;
  const concurrency = new AdaptiveConcurrency(bounds, { now: () => 0, monotonic: () => nowMs });
  let running: (AttemptSample & { readonly endsAtMs: number })[] = [];
  let resting: number[] = [];
  const limits: number[] = [];
  const counts = { taken: 0, overloaded: 0, neutral: 0 };
  for (; nowMs < seconds * 1_000; nowMs++) {
    for (const sample of running.filter(({ endsAtMs }) => endsAtMs <= nowMs)) {
      concurrency.ended(sample);
      counts[sample.outcome]++;
      resting.push(nowMs + restMs);
    }
    running = running.filter(({ endsAtMs }) => endsAtMs > nowMs);
    resting = resting.filter((untilMs) => untilMs > nowMs);
    const wanted = Math.min(concurrency.limit, (callers?.(nowMs) ?? Infinity) - resting.length);
    while (running.length < wanted) {
      const inFlight = running.length + 1;
      const { outcome, durationMs } = server(inFlight, nowMs, random);
      const wholeMs = Math.max(1, Math.round(durationMs));
      const size = bytes?.(random) ?? MIB;
      running.push({ outcome, durationMs: wholeMs, bytes: size, inFlight, endsAtMs: nowMs + wholeMs });
    }
    limits.push(concurrency.limit);
  }
  const part = (from: number, to: number): number[] => limits.slice(from * 1_000, to * 1_000);
  return {
    limits,
    ...counts,
    mean: (from, to) => part(from, to).reduce((sum, limit) => sum + limit, 0) / part(from, to).length,
    range: (from, to) => [Math.min(...part(from, to)), Math.max(...part(from, to))],
  };
}

/** Works on `capacity` requests at once, the others queue. */
function queueing(capacity: number, serviceMs: number, jitter = 0): Server {
  return (inFlight, _nowMs, random) => ({
    outcome: 'taken',
    durationMs: serviceMs * Math.max(1, inFlight / capacity) * (1 + jitter * (2 * random() - 1)),
  });
}

/** Answers 429, soon, to requests above a number. */
function refusingAbove(most: number, server: Server): Server {
  return (inFlight, nowMs, random) =>
    inFlight > most ? { outcome: 'overloaded', durationMs: 5 } : server(inFlight, nowMs, random);
}

function switching(atSecond: number, before: Server, after: Server): Server {
  return (inFlight, nowMs, random) => (nowMs < atSecond * 1_000 ? before : after)(inFlight, nowMs, random);
}

const WIDE: ConcurrencyBounds = { start: 2, min: 1, max: 50 };
const USUAL: ConcurrencyBounds = { start: 2, min: 1, max: 8 };
const DEAD: Server = () => ({ outcome: 'overloaded', durationMs: 1_000 });

const SEEDS = [1, 2, 3];

interface Case extends Simulation {
  readonly name: string;
  /** Seconds from which the limit is judged. */
  readonly from: number;
  /** Its mean from then on. */
  readonly mean: readonly [number, number];
  /** It never leaves this from then on. */
  readonly range: readonly [number, number];
  /** Of all requests, the part that the server refuses. */
  readonly refused?: number;
}

const STEADY = queueing(1_000, 100, 0.1);

const CASES: readonly Case[] = [
  {
    name: 'goes up to its maximum with a server that is up to everything',
    ...{ bounds: WIDE, server: queueing(1_000, 100), seconds: 30, from: 15, mean: [50, 50], range: [50, 50] },
  },
  {
    name: 'goes up although round trips vary',
    ...{ bounds: WIDE, server: queueing(1_000, 100, 0.2), seconds: 90, from: 60, mean: [48, 50], range: [42, 50] },
  },
  {
    name: 'stays near what a server works on at once, though the queue grows only little by little',
    ...{ bounds: WIDE, server: queueing(10, 100), seconds: 120, from: 20, mean: [9, 11], range: [8, 12] },
  },
  {
    name: 'stays near it although round trips vary',
    ...{ bounds: WIDE, server: queueing(10, 100, 0.2), seconds: 120, from: 20, mean: [8.5, 12], range: [5, 17] },
  },
  {
    name: 'finds it within the bounds that are usual',
    ...{ bounds: USUAL, server: queueing(4, 100, 0.2), seconds: 120, from: 20, mean: [3, 5], range: [1, 8] },
  },
  {
    name: 'comes down to it from a start that is too high',
    ...{ bounds: { start: 40, min: 1, max: 50 }, server: queueing(10, 100, 0.1) },
    ...{ seconds: 240, from: 200, mean: [8.5, 13], range: [6, 18] },
  },
  {
    name: 'falls under 429 and stays just below where it begins',
    ...{ bounds: WIDE, server: refusingAbove(10, STEADY), seconds: 60, from: 20, mean: [8, 10.5], range: [6, 11] },
    refused: 0.03,
  },
  {
    name: 'falls to its minimum where even that is too much',
    ...{ bounds: { start: 8, min: 2, max: 8 }, server: refusingAbove(0, STEADY), seconds: 5 },
    ...{ from: 1, mean: [2, 2], range: [2, 2], refused: 1 },
  },
  {
    name: 'gets used to a server that takes twice as long from one moment on',
    ...{ bounds: USUAL, server: switching(30, STEADY, queueing(1_000, 200, 0.1)), seconds: 90 },
    ...{ from: 60, mean: [6.5, 8], range: [4, 8] },
  },
  {
    name: 'is back after an outage within seconds',
    ...{ bounds: USUAL, server: switching(20, STEADY, switching(60, DEAD, STEADY)), seconds: 90 },
    ...{ from: 75, mean: [7, 8], range: [5, 8] },
  },
  {
    name: 'follows a server that has shrunk',
    ...{ bounds: WIDE, server: switching(30, queueing(20, 100, 0.1), queueing(5, 100, 0.1)), seconds: 240 },
    ...{ from: 180, mean: [3.5, 8], range: [1, 12] },
  },
  {
    name: 'is not misled by batches of all sizes',
    ...{ bounds: USUAL, server: STEADY, seconds: 60, bytes: (random) => 200 * 2 ** (15 * random()) },
    ...{ from: 30, mean: [6.5, 8], range: [4, 8] },
  },
];

describe('AdaptiveConcurrency beside a simulated server', () => {
  it.each(CASES)('$name', ({ from, mean, range, refused, ...simulation }) => {
    for (const seed of SEEDS) {
      const course = simulate(simulation, seed);
      const [lowest, highest] = course.range(from, simulation.seconds);
      const average = course.mean(from, simulation.seconds);
      const isNear = lowest >= range[0] && highest <= range[1] && average >= mean[0] && average <= mean[1];
      expect({ seed, lowest, highest, average, isNear }).toMatchObject({ isNear: true });
      const part = course.overloaded / (course.overloaded + course.taken);
      if (refused !== undefined) expect(part).toBeLessThanOrEqual(refused);
    }
  });

  it('is left where it was by lone callers, however unsteady the server is', () => {
    const bounds = { start: 4, min: 1, max: 8 };
    for (const seed of SEEDS) {
      const server = queueing(1_000, 50, 0.9);
      const course = simulate({ bounds, server, seconds: 60, callers: () => 1, restMs: 200 }, seed);
      expect(course.range(0, 60)).toEqual([4, 4]);
    }
  });

  it('does not rise above what was asked of it', () => {
    const course = simulate({ bounds: WIDE, server: STEADY, seconds: 60, callers: () => 6 });
    expect(course.range(30, 60)).toEqual([7, 7]);
  });
});

describe('AdaptiveConcurrency', () => {
  let nowMs: number;
  const clock = { now: () => 1e12 - 5 * nowMs, monotonic: () => nowMs };
  const OK: AttemptSample = { outcome: 'taken', durationMs: 100, bytes: MIB, inFlight: 50 };

  beforeEach(() => {
    nowMs = 10_000;
  });

  /** Requests one after the other, all at the limit; the limit after each. */
  function play(concurrency: AdaptiveConcurrency, samples: readonly Partial<AttemptSample>[]): number[] {
    return samples.map((sample) => {
      nowMs += sample.durationMs ?? OK.durationMs;
      concurrency.ended({ ...OK, ...sample });
      return concurrency.limit;
    });
  }

  it('goes down once for requests that failed side by side, however far apart their ends', () => {
    const concurrency = new AdaptiveConcurrency({ start: 20, min: 1, max: 50 }, clock);
    const beganAtMs = nowMs;
    const limits = Array.from({ length: 20 }, (_, i) => {
      nowMs = beganAtMs + 30_000 + 500 * i;
      concurrency.ended({ ...OK, outcome: 'overloaded', durationMs: nowMs - beganAtMs, inFlight: i + 1 });
      return concurrency.limit;
    });
    expect(limits).toEqual(new Array(20).fill(18));
  });

  it('goes down once a round trip for 429s that come back sooner', () => {
    const concurrency = new AdaptiveConcurrency({ start: 20, min: 1, max: 20 }, clock);
    play(concurrency, [{}, {}]);
    const limits = play(concurrency, new Array(31).fill({ outcome: 'overloaded', durationMs: 10 }));
    expect([limits[0], limits[9], limits[10], limits[20], limits[30]]).toEqual([18, 18, 16, 14, 12]);
  });

  it('goes down by one at least, and not below its minimum', () => {
    const concurrency = new AdaptiveConcurrency({ start: 4, min: 2, max: 8 }, clock);
    expect(play(concurrency, new Array(4).fill({ outcome: 'overloaded' }))).toEqual([3, 2, 2, 2]);
  });

  it('does not move for answers that say nothing about load', () => {
    const concurrency = new AdaptiveConcurrency({ start: 4, min: 1, max: 8 }, clock);
    const neutral = play(concurrency, new Array(20).fill({ outcome: 'neutral' }));
    expect(neutral).toEqual(new Array(20).fill(4));
  });

  it('does not let averages from before a gap in traffic decide', () => {
    const usual = new Array<Partial<AttemptSample>>(9).fill({ inFlight: 1 });
    const slow = new Array<Partial<AttemptSample>>(2).fill({ durationMs: 900 });
    const busy = new AdaptiveConcurrency({ start: 8, min: 1, max: 8 }, clock);
    play(busy, usual);
    expect(play(busy, slow)).toEqual([7, 7]);
    const rested = new AdaptiveConcurrency({ start: 8, min: 1, max: 8 }, clock);
    play(rested, usual);
    nowMs += 60_000;
    expect(play(rested, slow)).toEqual([8, 8]);
  });

  it('compares a large request with large ones', () => {
    const concurrency = new AdaptiveConcurrency({ start: 8, min: 1, max: 8 }, clock);
    const mixed = [
      { bytes: 2_000, durationMs: 10 },
      { bytes: 4 * MIB, durationMs: 700 },
      { bytes: 2_000, durationMs: 10 },
    ];
    expect(new Set(play(concurrency, [...mixed, ...mixed, ...mixed, ...mixed]))).toEqual(new Set([8]));
  });

  it('does nothing when it is fixed', () => {
    let looks = 0;
    const watched = { ...clock, monotonic: () => ++looks };
    const concurrency = new AdaptiveConcurrency({ start: 3, min: 3, max: 3 }, watched);
    concurrency.ended({ ...OK, outcome: 'overloaded' });
    expect([concurrency.limit, looks]).toEqual([3, 0]);
  });
});

describe('AdaptiveConcurrency, whatever it is told', () => {
  const bounds = fc
    .tuple(fc.integer({ min: 1, max: 64 }), fc.nat(64), fc.nat(64))
    .map(([min, a, b]) => ({ min, start: min + Math.min(a, b), max: min + Math.max(a, b) }));
  const sample: fc.Arbitrary<AttemptSample> = fc.record({
    outcome: fc.constantFrom('taken', 'taken', 'taken', 'overloaded', 'neutral'),
    durationMs: fc.double({ min: 0, max: 90_000, noNaN: true }),
    bytes: fc.oneof(fc.nat(16 * MIB), fc.constant(MIB)),
    inFlight: fc.integer({ min: 1, max: 130 }),
  });
  const steps = fc.array(fc.tuple(sample, fc.oneof(fc.constant(0), fc.nat(300), fc.nat(100_000))), { maxLength: 200 });

  it('keeps a whole number within its bounds, up by one and down by a tenth, or one, at a time', () => {
    fc.assert(
      fc.property(bounds, steps, (limits, told) => {
        let nowMs = 0;
        const concurrency = new AdaptiveConcurrency(limits, { now: () => 0, monotonic: () => nowMs });
        for (const [each, gapMs] of told) {
          const before = concurrency.limit;
          nowMs += gapMs;
          concurrency.ended(each);
          const { limit } = concurrency;
          expect(Number.isInteger(limit) && limit >= limits.min && limit <= limits.max).toBe(true);
          expect([before, before + 1, before - 1, Math.max(limits.min, Math.floor(0.9 * before))]).toContain(limit);
          if (each.outcome === 'neutral') expect(limit).toBe(before);
        }
      }),
      { numRuns: 500 },
    );
  });
});
