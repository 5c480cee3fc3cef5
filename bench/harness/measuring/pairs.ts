import { ratioOf, type Spread, spreadOf } from './spread.js';

/** What one run came to, by the name of the figure: `{ perSecond, cpuMs }`. */
export type Sample = Readonly<Record<string, number | undefined>>;

/** One side of a comparison. */
export interface Subject {
  readonly name: string;
  /** Does the whole work once, checks that it was done, and says how it went. Throws when anything was lost. */
  run(): Promise<Sample>;
}

export interface PairsOptions {
  /** How often each subject runs, the warm-up aside. */
  readonly pairs: number;
  /** Runs of each subject that nobody counts. Default 1. */
  readonly warmUps?: number;
  /** Called after each run that counts. */
  readonly onSample?: (subject: string, pair: number, sample: Sample) => void;
}

/** All samples of an interleaved comparison. */
export class Pairs {
  constructor(private readonly samples: ReadonlyMap<string, readonly Sample[]>) {}

  get subjects(): readonly string[] {
    return [...this.samples.keys()];
  }

  /** One figure of one subject. */
  of(subject: string, figure: string): Spread {
    return spreadOf(this.values(subject, figure));
  }

  /** Pair by pair: this figure of `subject`, divided by that of `other`. */
  ratio(figure: string, subject: string, other: string): Spread {
    return ratioOf(this.values(subject, figure), this.values(other, figure));
  }

  values(subject: string, figure: string): readonly number[] {
    const samples = this.samples.get(subject);
    if (samples === undefined)
      throw new Error(`No subject '${subject}' was measured: ${[...this.samples.keys()].join(', ')}.`);
    return samples.map((sample) => {
      const value = sample[figure];
      if (value === undefined)
        throw new Error(`'${subject}' did not report '${figure}': ${Object.keys(sample).join(', ')}.`);
      return value;
    });
  }
}

/**
 * A B C, C B A, A B C, ...: each subject once a pair, one after the other, so that a slow minute of the machine hits all of them. Every other
 * pair runs backwards, so that nobody always profits from what the one before left behind.
 */
export async function interleave(subjects: readonly Subject[], options: PairsOptions): Promise<Pairs> {
  const { pairs, warmUps = 1, onSample } = options;
  const samples = new Map<string, Sample[]>(subjects.map(({ name }) => [name, []]));
  if (samples.size !== subjects.length) throw new Error('Two subjects have the same name.');
  for (let round = 0; round < warmUps; round++) for (const subject of subjects) await subject.run();
  for (let pair = 0; pair < pairs; pair++) {
    for (const subject of pair % 2 === 0 ? subjects : [...subjects].reverse()) {
      const sample = await subject.run();
      samples.get(subject.name)?.push(sample);
      onSample?.(subject.name, pair, sample);
    }
  }
  return new Pairs(samples);
}
