import { formatNumber } from './table.js';

export interface CurveLine {
  readonly name: string;
  /** x, y; a missing size is simply left out. */
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** How cost grows: what is measured, over the size of what it depends on. */
export interface Curve {
  /** File name without ending: `throughput-by-callers`. */
  readonly file: string;
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  /** Default `linear`. A logarithmic axis holds values above 0 only. */
  readonly xScale?: 'linear' | 'log';
  readonly lines: readonly CurveLine[];
}

/** The same as the plot, in numbers. */
export function renderCurveTable({ title, xLabel, yLabel, lines }: Curve): string {
  const sizes = [...new Set(lines.flatMap(({ points }) => points.map(([x]) => x)))].sort((a, b) => a - b);
  const head = [xLabel, ...lines.map(({ name }) => name)];
  const body = sizes.map((size) => [
    formatNumber(size),
    ...lines.map(({ points }) => {
      const y = points.find(([x]) => x === size)?.[1];
      return y === undefined ? '' : formatNumber(y);
    }),
  ]);
  const rows = [head, head.map(() => '---'), ...body].map((cells) => `| ${cells.join(' | ')} |`);
  return [`### ${title}`, '', `${yLabel}:`, '', ...rows].join('\n');
}
