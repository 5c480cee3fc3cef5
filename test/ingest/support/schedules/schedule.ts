import type { Random } from '@nest-baton/core';
import type { IngestOptions } from '@nest-baton/ingest';
import { randomBetween, randomPick } from '@nest-baton/testing';

/** One document of a schedule. `poison`: the server refuses every request with it; `bad`: it is rejected alone; `unencodable`: has no JSON. */
export interface PlannedDocument {
  readonly pad: number;
  readonly kind?: 'poison' | 'bad' | 'unencodable';
}

/** What the server does with a request instead of the ordinary answer. Plain data, so that a schedule can be printed and pasted back. */
export type VirtualFault =
  | { readonly kind: 'status'; readonly status: number; readonly retryAfter?: string; readonly stores?: boolean }
  | { readonly kind: 'refused' }
  | { readonly kind: 'never_starts' }
  | { readonly kind: 'reset'; readonly stores: boolean }
  /** Stores `lateMs` after it came in, also when the client has gone. */
  | { readonly kind: 'hang'; readonly stores: boolean; readonly lateMs: number }
  | { readonly kind: 'truncated'; readonly how: 'cut' | 'short_json' | 'counts'; readonly stores: boolean }
  | { readonly kind: 'slow_body' | 'slow_start'; readonly ms: number };

/** `abortAfter` counts from the call, in virtual milliseconds; -1: the signal has fired before the call. */
type Planned =
  | { readonly do: 'ingest'; readonly docs: readonly PlannedDocument[] }
  | { readonly do: 'sync'; readonly docs: readonly PlannedDocument[]; readonly abortAfter?: number }
  | {
      readonly do: 'batch';
      readonly docs: readonly PlannedDocument[];
      readonly abortAfter?: number;
      readonly waitAbortAfter?: number;
    }
  | { readonly do: 'flush'; readonly abortAfter?: number }
  /** Of the wall clock alone. */
  | { readonly do: 'jump'; readonly ms: number }
  | { readonly do: 'close'; readonly timeout: number };

/** At a virtual time; `turn`: not in the same turn of the event loop as the one before. */
export type PlannedAction = Planned & { readonly at: number; readonly turn: boolean };

/** What hooks and listeners do besides being told; `quiet`: nothing. */
export type HookManner = 'quiet' | 'throw' | 'ingest' | 'batch' | 'flush' | 'close' | 'never_end';

export interface ServerPlan {
  /** Bytes of a request above which it answers 413. */
  readonly limitBytes: number;
  /** Taken in turn, request by request; `null`: nothing special. */
  readonly faults: readonly (VirtualFault | null)[];
  /** From then on nothing goes wrong any more, sizes and documents aside, and where there were faults it answers at once. */
  readonly healsAt: number;
  readonly latencies: readonly number[];
  /** `named`: says which documents it rejects. `counted`: only how many. `old`: knows neither, and refuses to be asked. */
  readonly details: 'named' | 'counted' | 'old';
  readonly sayPoison: 'each' | 'same';
}

/** Everything that a run depends on. */
export interface Schedule {
  readonly options: Omit<IngestOptions, 'url' | 'index' | 'hooks' | 'dispatcher' | 'auth'>;
  /** What `auth` takes; -1: there is none. */
  readonly authMs: number;
  readonly server: ServerPlan;
  readonly hooks: HookManner;
  readonly actions: readonly PlannedAction[];
}

/** Larger than any request here. */
export const NO_LIMIT = 1_000_000;

/** A schedule that follows from the seed of `random` alone. One in four meets no fault, so that promises about order and delay can be checked. */
export function scheduleOf(random: Random): Schedule {
  const isCalm = random() < 0.25;
  return {
    options: { ...optionsOf(random), ...(isCalm && { requestTimeout: 1_000, commitTimeout: 1_000 }) },
    authMs: isCalm ? -1 : randomPick(random, [-1, -1, -1, 0, 15]),
    server: serverOf(random, isCalm),
    hooks: isCalm
      ? 'quiet'
      : randomPick(random, ['quiet', 'quiet', 'throw', 'ingest', 'batch', 'flush', 'close', 'never_end']),
    actions: actionsOf(random, isCalm),
  };
}

function optionsOf(random: Random): Schedule['options'] {
  const maxBatchBytes = randomPick(random, [60, 150, 400, 5_000]);
  const isRoomy = random() < 0.4;
  const base = randomPick(random, [1, 5, 20]);
  return {
    maxBatchDocs: randomPick(random, [1, 2, 3, 5, 10, 100]),
    maxBatchBytes,
    serverLimitBytes: maxBatchBytes * randomPick(random, [1, 2, 100]),
    maxDelay: randomPick(random, [0, 1, 10, 50, 200, 1_000]),
    concurrency: randomPick(random, [1, 1, 2, 3, 8, { start: 1, min: 1, max: 4 }, { start: 3, min: 2, max: 8 }]),
    maxBufferDocs: isRoomy ? 1_000 : randomPick(random, [1, 2, 5, 20]),
    maxBufferBytes: isRoomy ? NO_LIMIT : randomPick(random, [100, 300, 2_000]),
    overflow: random() < 0.75 ? 'wait' : 'discard',
    commit: randomPick(random, ['auto', 'auto', 'auto', 'wait_for', 'force']),
    ambiguous: random() < 0.75 ? 'retry' : 'report',
    compression: 'none',
    hints: random() < 0.85 ? 'on' : 'off',
    requestTimeout: randomPick(random, [30, 50, 100, 1_000]),
    commitTimeout: randomPick(random, [50, 100, 1_000]),
    retry: { base, factor: 1.5, cap: base * randomPick(random, [1, 10]) },
    closeTimeout: 500,
    hookTimeout: randomPick(random, [0, 50]),
  };
}

function serverOf(random: Random, isCalm: boolean): ServerPlan {
  const latency = () => randomPick(random, [1, 1, 5, 10, 10, 50]);
  const latencies = Array.from({ length: 5 }, latency);
  if (isCalm)
    return { limitBytes: NO_LIMIT, faults: [null], healsAt: 0, latencies, details: 'named', sayPoison: 'each' };
  const rate = randomPick(random, [0.1, 0.4, 0.8]);
  return {
    limitBytes: randomPick(random, [NO_LIMIT, NO_LIMIT, 80, 200]),
    faults: Array.from({ length: 12 }, () => (random() < rate ? faultOf(random) : null)),
    healsAt: randomPick(random, [50, 200, 500, 2_000]),
    latencies,
    details: randomPick(random, ['named', 'named', 'counted', 'old']),
    sayPoison: randomPick(random, ['each', 'same']),
  };
}

function faultOf(random: Random): VirtualFault {
  const stores = random() < 0.5;
  const chance = random();
  if (chance < 0.15) {
    const retryAfter = randomPick(random, [undefined, '1', '1', '0', 'soon']);
    const status = randomPick(random, [429, 503]);
    return retryAfter === undefined ? { kind: 'status', status } : { kind: 'status', status, retryAfter };
  }
  if (chance < 0.25) return { kind: 'status', status: randomPick(random, [500, 408, 400, 422]) };
  if (chance < 0.33) return { kind: 'status', status: randomPick(random, [502, 504]), stores };
  if (chance < 0.4) return { kind: 'status', status: randomPick(random, [401, 403, 404]) };
  if (chance < 0.5) return { kind: 'refused' };
  if (chance < 0.55) return { kind: 'never_starts' };
  if (chance < 0.7) return { kind: 'reset', stores };
  if (chance < 0.82) return { kind: 'hang', stores, lateMs: randomPick(random, [0, 10, 300]) };
  if (chance < 0.94)
    return { kind: 'truncated', how: randomPick(random, ['cut', 'short_json', 'counts'] as const), stores };
  return { kind: randomPick(random, ['slow_body', 'slow_start'] as const), ms: randomPick(random, [5, 50, 500]) };
}

function actionsOf(random: Random, isCalm: boolean): PlannedAction[] {
  let at = 0;
  const actions = Array.from({ length: randomBetween(random, 1, isCalm ? 30 : 18) }, (): PlannedAction => {
    // Many at one time, and many at the times at which timers fire.
    at += randomPick(random, [0, 0, 0, 1, 5, 10, 10, 50]);
    return { at, turn: random() < 0.5, ...plannedOf(random, isCalm) };
  });
  if (random() < 0.5) return actions;
  const closeAt = randomBetween(random, 0, actions.length);
  const time = actions[closeAt - 1]?.at ?? 0;
  const close: PlannedAction = {
    at: time,
    turn: random() < 0.5,
    do: 'close',
    timeout: randomPick(random, [0, 20, 200, 5_000]),
  };
  return [...actions.slice(0, closeAt), close, ...actions.slice(closeAt)];
}

function plannedOf(random: Random, isCalm: boolean): Planned {
  const chance = random();
  const abort = (): { abortAfter?: number } =>
    random() < 0.3 ? { abortAfter: randomPick(random, [-1, 0, 0, 1, 10, 60]) } : {};
  if (chance < 0.35) return { do: 'ingest', docs: docsOf(random, isCalm) };
  if (chance < 0.5) return { do: 'sync', docs: docsOf(random, isCalm), ...abort() };
  if (chance < 0.85)
    return {
      do: 'batch',
      docs: docsOf(random, isCalm),
      ...abort(),
      ...(random() < 0.1 && { waitAbortAfter: randomPick(random, [0, 10, 60]) }),
    };
  if (chance < 0.95) return { do: 'flush', ...abort() };
  return { do: 'jump', ms: randomPick(random, [-3_600_000, 3_600_000]) };
}

function docsOf(random: Random, isCalm: boolean): PlannedDocument[] {
  const count = randomPick(random, [0, 1, 1, 1, 2, 3, 7]);
  return Array.from({ length: count }, (): PlannedDocument => {
    const pad = randomPick(random, [0, 0, 10, 40, 120]);
    const chance = isCalm ? 1 : random();
    if (chance < 0.03) return { pad, kind: 'poison' };
    if (chance < 0.06) return { pad, kind: 'bad' };
    return chance < 0.07 ? { pad, kind: 'unencodable' } : { pad };
  });
}
