import type { Bench, Target } from '../harness/index.js';

export const OURS = 'pg-stream';
export const FLOOR = 'inserts of 100';
export const RECOMMENDED = 'world-postgres (pool 34)';
export const DEFAULTS = 'world-postgres (defaults)';

/** The promises of the module's design page, in its order. */
export const TARGETS = {
  oneWriter: { name: `one awaiting writer, against ${RECOMMENDED}`, unit: 'x', atLeast: 1.5 },
  oneWriterDefaults: { name: `one awaiting writer, against ${DEFAULTS}`, unit: 'x', atLeast: 1.5 },
  many: { name: `appendMany of 100, against the multi-write of ${RECOMMENDED}`, unit: 'x', atLeast: 12 },
  manyDefaults: { name: `appendMany of 100, against the multi-write of ${DEFAULTS}`, unit: 'x', atLeast: 12 },
  oneStream: { name: `256 callers on one stream, against 32 of ${RECOMMENDED}`, unit: 'x', atLeast: 30 },
  oneStreamDefaults: { name: `256 callers on one stream, against 32 of ${DEFAULTS}`, unit: 'x', atLeast: 30 },
  spread: { name: `256 callers over 200 streams, against 32 of ${RECOMMENDED}`, unit: 'x', atLeast: 15 },
  spreadDefaults: { name: `256 callers over 200 streams, against 32 of ${DEFAULTS}`, unit: 'x', atLeast: 15 },
  floorMany: { name: `a producer's appendMany of 100, against ${FLOOR}`, unit: 'x', atLeast: 0.8 },
  floorOneStream: { name: `256 callers of one producer, one stream, against ${FLOOR}`, unit: 'x', atLeast: 0.8 },
  floorSpread: { name: `256 callers of 200 producers, 200 streams, against ${FLOOR}`, unit: 'x', atLeast: 0.4 },
  acrossP50: { name: 'append to a reader in another process at 500/s, p50 against the peer', unit: 'x', atMost: 1 },
  acrossP99: { name: 'append to a reader in another process at 500/s, p99 against the peer', unit: 'x', atMost: 1 },
  withinP50: { name: 'append to a reader in the same process at 500/s, p50 against the peer', unit: 'x', atMost: 1 },
  withinP99: { name: 'append to a reader in the same process at 500/s, p99 against the peer', unit: 'x', atMost: 1 },
  tick: { name: 'queries a tick with 10 000 waiting readers', unit: 'queries', atMost: 2 },
  wake: { name: 'queries a wake of one stream with many readers', unit: 'queries', atMost: 1 },
  sseMemory: { name: 'memory of 1 000 SSE readers of one stream over idle', unit: 'MB', atMost: 64 },
  killedLost: { name: 'listener killed every second at 500/s: lost or disordered chunks', unit: 'chunks', atMost: 0 },
  killedDelay: {
    name: 'listener killed every second at 500/s: extra delay beyond the poll interval',
    unit: 'ms',
    atMost: 250,
  },
  holeLost: { name: 'listener black-holed at 500/s: lost or disordered chunks', unit: 'chunks', atMost: 0 },
  holeDelay: { name: 'listener black-holed at 500/s: extra delay beyond the poll interval', unit: 'ms', atMost: 250 },
  holeFound: { name: 'listener black-holed: found after', unit: 's', atMost: 15 },
  oldSnapshot: { name: 'append p99 under an old snapshot at 500/s on one stream, against none', unit: 'x', atMost: 2 },
} as const satisfies Record<string, Target>;

export type StreamTarget = keyof typeof TARGETS;
export type StreamBench = Bench<StreamTarget>;
