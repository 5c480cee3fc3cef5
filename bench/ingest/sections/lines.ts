import type { Bench, CurveLine, Pairs, Parameters, RemoteSubject } from '../../harness/index.js';
import type { TargetId } from '../targets.js';

/** Several subjects over the same sizes. */
export interface MeasuredLines {
  /** For a title: how often each point was measured. */
  readonly repeats: string;
  readonly points: readonly (readonly [size: number, pairs: Pairs])[];
}

/** Each point after a run that does not count, the subjects one after another at each size. */
export async function measureLines(
  bench: Bench<TargetId>,
  remotes: readonly RemoteSubject[],
  sizes: readonly number[],
  parameters: (size: number) => Parameters,
): Promise<MeasuredLines> {
  const pairs = bench.pick(3, 1);
  const points: [number, Pairs][] = [];
  for (const size of sizes) {
    const subjects = remotes.map((remote) => ({ name: remote.name, run: () => remote.run(parameters(size)) }));
    points.push([size, await bench.interleave(subjects, 'perSecond', { pairs })]);
  }
  return { repeats: pairs === 1 ? 'once each' : `median of ${pairs}`, points };
}

/** A line for each subject. */
export function pointsOf(
  { points }: MeasuredLines,
  figure: string,
  convert: (value: number, size: number) => number = (value) => value,
): readonly CurveLine[] {
  const names = points[0]?.[1].subjects ?? [];
  return names.map((name) => ({
    name,
    points: points.map(([size, pairs]) => [size, convert(pairs.of(name, figure).measured, size)] as const),
  }));
}
