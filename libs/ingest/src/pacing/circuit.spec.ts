import type { Backoff } from '@nest-baton/core';
import fc from 'fast-check';
import { Circuit } from './circuit.js';

const BACKOFF: Backoff = { baseMs: 100, factor: 2, capMs: 1_000, jitter: 'none' };
const PROBE_HOLDS_MS = 5_000;

describe('Circuit', () => {
  let nowMs: number;
  let circuit: Circuit;

  beforeEach(() => {
    nowMs = 1_000;
    // The wall clock jumps about; nothing may look at it.
    const clock = { now: () => 1_000_000 - 7 * nowMs, monotonic: () => nowMs };
    circuit = new Circuit(BACKOFF, clock, () => 0.5, PROBE_HOLDS_MS);
  });

  it('lets everybody go while it is closed', () => {
    expect([circuit.mayTry(), circuit.mayTry(), circuit.isOpen]).toEqual([0, 0, false]);
    circuit.probeEnded();
    expect(circuit.kind).toBe('closed');
  });

  it('lets one caller try when the back-off is over, and closes when a request is taken', () => {
    circuit.opened();
    expect([circuit.isOpen, circuit.mayTry()]).toEqual([true, 100]);
    nowMs += 99;
    expect(circuit.mayTry()).toBe(1);
    nowMs += 1;
    expect(circuit.mayTry()).toBe(0);
    expect(circuit.mayTry()).toBeGreaterThan(0);
    circuit.closed();
    circuit.probeEnded();
    expect([circuit.isOpen, circuit.mayTry(), circuit.mayTry()]).toEqual([false, 0, 0]);
  });

  it('waits longer with every denied probe, up to the cap, and from the start again after it was closed', () => {
    const waits: number[] = [];
    circuit.opened();
    for (let i = 0; i < 6; i++) {
      waits.push(circuit.mayTry());
      nowMs += circuit.mayTry();
      expect(circuit.mayTry()).toBe(0);
      circuit.probeFailed();
      circuit.probeEnded();
    }
    expect(waits).toEqual([100, 200, 400, 800, 1_000, 1_000]);
    circuit.closed();
    circuit.opened();
    expect(circuit.mayTry()).toBe(100);
  });

  it('lets somebody else probe at once after a probe that said nothing, and the next denial waits no shorter for it', () => {
    circuit.opened();
    nowMs += 100;
    circuit.mayTry();
    circuit.probeFailed();
    nowMs += 200;
    expect(circuit.mayTry()).toBe(0);
    circuit.probeEnded();
    expect([circuit.kind, circuit.mayTry(), circuit.kind]).toEqual(['waiting', 0, 'probing']);
    circuit.probeFailed();
    expect(circuit.mayTry()).toBe(400);
  });

  it('takes denials of requests that were on their way when it opened for no news', () => {
    circuit.opened();
    nowMs += 60;
    circuit.opened();
    circuit.probeFailed();
    expect(circuit.mayTry()).toBe(40);
    nowMs += 40;
    expect(circuit.mayTry()).toBe(0);
    circuit.opened();
    expect(circuit.kind).toBe('probing');
  });

  it('closes for a request that was taken although it was no probe, and opens again when the probe is denied after it', () => {
    circuit.opened();
    nowMs += 100;
    circuit.mayTry();
    circuit.closed();
    expect(circuit.mayTry()).toBe(0);
    circuit.probeFailed();
    expect(circuit.mayTry()).toBe(100);
  });

  it('replaces a probe that is never heard of again', () => {
    circuit.opened();
    nowMs += 100;
    expect(circuit.mayTry()).toBe(0);
    nowMs += PROBE_HOLDS_MS - 1;
    expect(circuit.mayTry()).toBe(1);
    nowMs += 1;
    expect([circuit.mayTry(), circuit.kind]).toEqual([0, 'probing']);
    expect(circuit.mayTry()).toBeGreaterThan(0);
  });

  it('has a wait that ends also with a back-off of nothing', () => {
    const clock = { now: () => 0, monotonic: () => nowMs };
    const eager = new Circuit({ baseMs: 0, factor: 1, capMs: 0, jitter: 'equal' }, clock, () => 0);
    eager.opened();
    expect([eager.mayTry(), eager.mayTry()]).toEqual([0, 1]);
  });
});

describe('Circuit, whatever happens', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 0, max: 2_000 }) }),
    fc.record({ kind: fc.constantFrom('try', 'opened', 'probeFailed', 'probeEnded', 'taken') }),
  );
  const backoff: fc.Arbitrary<Backoff> = fc.record({
    baseMs: fc.integer({ min: 0, max: 1_000 }),
    factor: fc.double({ min: 1, max: 4, noNaN: true }),
    capMs: fc.integer({ min: 1_000, max: 5_000 }),
    jitter: fc.constantFrom('none', 'equal', 'full'),
  });
  const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

  it('has one probe at most while it is open, and never keeps everybody waiting', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), backoff, chance, (steps, waits, random) => {
        let nowMs = 0;
        const clock = { now: () => 0, monotonic: () => nowMs };
        const circuit = new Circuit(waits, clock, () => random, PROBE_HOLDS_MS);
        let probe: { sinceMs: number } | undefined;
        for (const each of steps) {
          switch (each.kind) {
            case 'pass':
              nowMs += (each as { ms: number }).ms;
              break;
            case 'try':
              if (circuit.mayTry() > 0) expect(circuit.isOpen).toBe(true);
              else if (circuit.isOpen) {
                // The one before has ended, or was lost for as long as probes are waited for.
                if (probe !== undefined) expect(nowMs - probe.sinceMs).toBeGreaterThanOrEqual(PROBE_HOLDS_MS);
                probe = { sinceMs: nowMs };
              }
              break;
            case 'opened':
              circuit.opened();
              break;
            case 'taken':
              circuit.closed();
              probe = undefined;
              for (let caller = 0; caller < 3; caller++) expect(circuit.mayTry()).toBe(0);
              break;
            case 'probeFailed':
            case 'probeEnded':
              if (probe === undefined) break;
              circuit[each.kind]();
              circuit.probeEnded();
              probe = undefined;
              break;
          }
        }
        // The longest wait is for a probe that was lost; the shortest look at it is after a millisecond.
        const deadlineMs = nowMs + PROBE_HOLDS_MS;
        let waitMs = circuit.mayTry();
        for (let looks = 0; waitMs > 0 && looks <= PROBE_HOLDS_MS; looks++) {
          nowMs += waitMs;
          waitMs = circuit.mayTry();
        }
        expect({ waitMs, isInTime: nowMs <= deadlineMs }).toEqual({ waitMs: 0, isInTime: true });
      }),
      { numRuns: 500 },
    );
  });
});
