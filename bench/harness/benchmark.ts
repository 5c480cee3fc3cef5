import type { PairsOptions, Subject } from './measuring/pairs.js';
import { interleave, type Pairs } from './measuring/pairs.js';
import type { Spread } from './measuring/spread.js';
import type { Curve } from './reporting/curve.js';
import { failedRow, measuredRow, notBuiltRow, plainRow, type Row, type Target } from './reporting/row.js';
import type { ReferenceFigure } from './validity/reference-figure.js';

/** All that one module promises about its speed, and how it is measured. `bench/<module>/benchmark.ts` exports one by default. */
export interface Benchmark<Id extends string = string> {
  readonly name: string;
  /** Every promise of the module. One that `run` leaves without a result is reported as failed, never silently absent. */
  readonly targets: Readonly<Record<Id, Target>>;
  /** Packages whose versions belong to the figures; those of `bench/package.json` and of the root. */
  readonly packages: readonly string[];
  run(bench: Bench<Id>): Promise<void>;
}

/** Keeps a benchmark's own names of its targets checked by the compiler. */
export function defineBenchmark<Id extends string>(benchmark: Benchmark<Id>): Benchmark<Id> {
  return benchmark;
}

/**
 * - `full`: what the design asks for, an hour or more a module; published.
 * - `short`: fewer pairs of smaller work, minutes a module; published as such.
 * - `quick`: shows that it works, a minute a module; proves nothing.
 */
export type Scale = 'full' | 'short' | 'quick';

export interface BenchSettings {
  readonly scale: Scale;
  /** Progress, for the person who waits. */
  readonly say: (text: string) => void;
}

const PAIRS: Readonly<Record<Scale, number>> = { full: 9, short: 5, quick: 2 };

/** What a running benchmark reports to. */
export class Bench<Id extends string = string> {
  readonly scale: Scale;
  /** How often each subject of a comparison runs. */
  readonly pairs: number;
  private readonly targetRows = new Map<Id, Row>();
  private readonly plainRows: Row[] = [];
  private readonly drawn: Curve[] = [];
  private readonly checkable: { readonly figure: ReferenceFigure; readonly spread: Spread }[] = [];
  private readonly broken: string[] = [];

  constructor(
    private readonly targets: Readonly<Record<Id, Target>>,
    private readonly settings: BenchSettings,
  ) {
    this.scale = settings.scale;
    this.pairs = PAIRS[settings.scale];
  }

  /** A size or a duration: the real one, and the one that lets a module fit in a minute or, with more pairs, in some. */
  pick<T>(full: T, smaller: T): T {
    return this.scale === 'full' ? full : smaller;
  }

  say(text: string): void {
    this.settings.say(text);
  }

  /**
   * A part that stands by itself: when it throws, the others still run, its targets are reported as failed, and the exit code says so.
   * `use` registers what is stopped at its end, the last one first, however it ends.
   */
  async section(title: string, body: (use: Use) => Promise<void>): Promise<void> {
    const inUse: Stoppable[] = [];
    this.say(title);
    try {
      await body((stoppable) => {
        inUse.push(stoppable);
        return stoppable;
      });
    } catch (error) {
      this.broken.push(`${title}: ${wordsOf(error)}`);
      this.say(`  ${title} failed: ${wordsOf(error)}`);
    } finally {
      for (const stoppable of inUse.reverse())
        await stoppable.stop().catch((error: unknown) => this.broken.push(`${title}, at its end: ${wordsOf(error)}`));
    }
  }

  /** `interleave` with this run's number of pairs, telling each sample's `figure`. */
  interleave(subjects: readonly Subject[], figure: string, options: Partial<PairsOptions> = {}): Promise<Pairs> {
    return interleave(subjects, {
      pairs: this.pairs,
      onSample: (subject, pair, sample) =>
        this.say(`  ${pair + 1}/${this.pairs} ${subject}: ${format(sample[figure])} ${figure}`),
      ...options,
    });
  }

  /** The result for a target; it holds when the median does. */
  meets(id: Id, spread: Spread, note?: string): void {
    this.settle(id, measuredRow(this.targets[id], spread, note));
  }

  /** The target speaks of something that does not exist yet. */
  notBuilt(id: Id, reason: string): void {
    this.settle(id, notBuiltRow(this.targets[id], reason));
  }

  /** It was tried, and this machine was too slow for it: no fault of the benchmark, and no result. */
  notMeasured(id: Id, reason: string): void {
    this.settle(id, failedRow(this.targets[id], reason));
  }

  /** A row without a target. */
  shows(name: string, spread: Spread, unit: string, note?: string): void {
    this.plainRows.push(plainRow(name, spread, unit, note));
  }

  /** Drawn and tabled beside the results. */
  curve(curve: Curve): void {
    this.drawn.push(curve);
  }

  /** A floor's or a peer's rate, a second, to be compared with its reference figure once the machine has been measured. */
  compareWithReference(figure: ReferenceFigure, spread: Spread): void {
    this.checkable.push({ figure, spread });
  }

  get references(): readonly { readonly figure: ReferenceFigure; readonly spread: Spread }[] {
    return this.checkable;
  }

  get curves(): readonly Curve[] {
    return this.drawn;
  }

  /** Why parts of it could not run. */
  get failures(): readonly string[] {
    return this.broken;
  }

  /** In the order of measuring, targets after plain rows; targets without a result are failed. */
  rows(): readonly Row[] {
    const reason = this.broken.length === 0 ? 'the benchmark ended without measuring it' : this.broken.join('; ');
    const ids = Object.keys(this.targets) as Id[];
    return [...this.plainRows, ...ids.map((id) => this.targetRows.get(id) ?? failedRow(this.targets[id], reason))];
  }

  private settle(id: Id, row: Row): void {
    if (this.targetRows.has(id)) throw new Error(`The target '${id}' was reported twice.`);
    this.targetRows.set(id, row);
  }
}

export interface Stoppable {
  stop(): Promise<unknown>;
}

export type Use = <T extends Stoppable>(stoppable: T) => T;

function wordsOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : String(error);
}

function format(value: number | undefined): string {
  return value === undefined ? '?' : String(Number(value.toPrecision(4)));
}
