import type { Spread } from '../measuring/spread.js';

/** What the machine itself does; more is better. */
export interface MachineSpeed {
  /** JSON documents of about 220 bytes serialised and hashed in one thread, a second. */
  readonly cpu: number;
  /** Writes of 8 KiB that are on disk, a second. */
  readonly fsync: number;
  /** Answers of a TCP echo in another process, one at a time, a second. */
  readonly loopback: number;
}

/** A floor's or a peer's figure, measured on the reference machine before this project was tuned. */
export interface ReferenceFigure {
  readonly name: string;
  /** In units a second. Every run that was made; the machine was shared, and they differ by up to 2.5x. */
  readonly runs: readonly number[];
  /** What of the machine the figure depends on. */
  readonly dependsOn: readonly (keyof MachineSpeed)[];
  /** How it was measured, where that was not the way of this benchmark. */
  readonly conditions: string;
}

export interface FigureCheck {
  readonly name: string;
  /** The reference, scaled by how fast this machine is now. */
  readonly expected: number;
  readonly measured: number;
  /** measured / expected. */
  readonly ratio: number;
  readonly isValid: boolean;
}

/**
 * The reference machine: 2 shared cores, Node 20.20.2. Its figures were measured twice, on a quiet and on a busy day; so was this, and it is the
 * geometric mean of both (cpu 1 270 000 and 430 000, fsync 12 000 and 310, loopback 15 500 and 12 500).
 */
export const REFERENCE_SPEED: MachineSpeed = { cpu: 740_000, fsync: 1_900, loopback: 14_000 };

/** Below this share of what it should do, a floor or a peer was hampered, and a ratio against it says nothing. */
export const LEAST_SHARE = 0.7;

/**
 * Ties a run to the reference: is this floor or peer as fast here as it was there, given what this machine does now?
 *
 * The runs of the reference count by their geometric mean, and so do the parts of the machine that the figure depends on.
 */
export function checkFigure(figure: ReferenceFigure, measured: Spread, speed: MachineSpeed): FigureCheck {
  const pace = geometricMean(figure.dependsOn.map((part) => speed[part] / REFERENCE_SPEED[part]));
  const expected = geometricMean(figure.runs) * pace;
  const ratio = measured.measured / expected;
  return { name: figure.name, expected, measured: measured.measured, ratio, isValid: ratio >= LEAST_SHARE };
}

/** What the run says about itself; empty when it is valid. */
export function reasonsForInvalidity(checks: readonly FigureCheck[]): readonly string[] {
  return checks
    .filter(({ isValid }) => !isValid)
    .map(
      ({ name, ratio }) =>
        `${name} came to ${ratio.toFixed(2)}x of its reference figure after calibration, below ${LEAST_SHARE}x: the run is invalid.`,
    );
}

function geometricMean(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('A figure depends on something and has at least one run.');
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}
