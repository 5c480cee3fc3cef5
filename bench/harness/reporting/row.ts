import type { Spread } from '../measuring/spread.js';

/** What is promised; exactly one bound. */
export interface Target {
  readonly name: string;
  readonly unit: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** One line of the report, and one of the results file. */
export interface Row {
  readonly name: string;
  /** `null`: shown for orientation, nothing is promised. */
  readonly target: string | null;
  /** `null`: there is nothing to measure yet, or measuring failed. */
  readonly measured: number | null;
  readonly min: number | null;
  readonly max: number | null;
  readonly unit: string;
  /** `null` for rows without a target. A target that could not be measured does not hold. */
  readonly holds: boolean | null;
  /** Conditions, and what made it so. */
  readonly note?: string;
  /** Why the target cannot be measured: what it speaks of does not exist. */
  readonly notBuilt?: string;
  /** Why it was not measured although it should have been. */
  readonly failed?: string;
}

export function measuredRow(target: Target, spread: Spread, note?: string): Row {
  return { ...head(target), ...spread, unit: target.unit, holds: meets(target, spread.measured), ...noted(note) };
}

export function notBuiltRow(target: Target, notBuilt: string): Row {
  return { ...head(target), ...NOTHING, unit: target.unit, holds: false, notBuilt };
}

export function failedRow(target: Target, failed: string): Row {
  return { ...head(target), ...NOTHING, unit: target.unit, holds: false, failed };
}

export function plainRow(name: string, spread: Spread, unit: string, note?: string): Row {
  return { name, target: null, ...spread, unit, holds: null, ...noted(note) };
}

/** Without a target first, then what holds, then what does not; otherwise in the order of measuring. */
export function inOrderOfReading(rows: readonly Row[]): readonly Row[] {
  const rank = ({ holds }: Row): number => (holds === null ? 0 : holds ? 1 : 2);
  return rows
    .map((row, index) => ({ row, index }))
    .sort((a, b) => rank(a.row) - rank(b.row) || a.index - b.index)
    .map(({ row }) => row);
}

export function describeTarget({ atLeast, atMost, unit }: Target): string {
  if ((atLeast === undefined) === (atMost === undefined)) throw new TypeError('A target has exactly one bound.');
  return atLeast === undefined ? `<= ${atMost} ${unit}` : `>= ${atLeast} ${unit}`;
}

const NOTHING = { measured: null, min: null, max: null };

function head(target: Target): { readonly name: string; readonly target: string } {
  return { name: target.name, target: describeTarget(target) };
}

function meets({ atLeast = -Infinity, atMost = Infinity }: Target, value: number): boolean {
  return value >= atLeast && value <= atMost;
}

function noted(note: string | undefined): { readonly note?: string } {
  return note === undefined ? {} : { note };
}
