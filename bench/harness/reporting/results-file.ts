import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench, Scale } from '../benchmark.js';
import type { FigureCheck } from '../validity/reference-figure.js';
import { type Curve, renderCurveTable } from './curve.js';
import type { Machine } from './machine.js';
import type { Row } from './row.js';
import { renderPlot } from './svg-plot.js';
import { renderMarkdown } from './table.js';

/** What `<module>.json` holds. */
export interface Results {
  readonly module: string;
  readonly scale: Scale;
  readonly pairs: number;
  /** False when the machine or a peer was hampered; `invalidBecause` says by what; null at a smaller scale, which is not compared. The rows are published all the same. */
  readonly isValid: boolean | null;
  readonly invalidBecause: readonly string[];
  /** Parts that could not run. */
  readonly failures: readonly string[];
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
  readonly calibration: readonly FigureCheck[];
  readonly curves: readonly Curve[];
  readonly rows: readonly Row[];
}

export function resultsOf(
  module: string,
  bench: Bench,
  about: Pick<Results, 'machine' | 'versions' | 'calibration' | 'invalidBecause'> & {
    readonly calibrationRows: readonly Row[];
  },
): Results {
  const { calibrationRows, invalidBecause, machine, versions, calibration } = about;
  return {
    module,
    scale: bench.scale,
    pairs: bench.pairs,
    isValid: bench.scale === 'full' ? invalidBecause.length === 0 : null,
    invalidBecause,
    failures: bench.failures,
    machine,
    versions,
    calibration,
    curves: bench.curves,
    rows: [...calibrationRows, ...bench.rows()],
  };
}

/** Replaces what the last run of this module left. */
export function writeResults(folder: string, results: Results): void {
  mkdirSync(folder, { recursive: true });
  const { module, curves } = results;
  writeFileSync(join(folder, `${module}.json`), `${JSON.stringify(results, null, 2)}\n`);
  for (const curve of curves) writeFileSync(join(folder, `${module}-${curve.file}.svg`), renderPlot(curve));
  rmSync(join(folder, `${module}.md`), { force: true });
  writeFileSync(join(folder, `${module}.md`), renderReport(results));
}

function renderReport(results: Results): string {
  const { module, machine, versions, rows, curves, pairs, scale, invalidBecause, failures } = results;
  const about = `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGb} GB, ${machine.os}, Node ${machine.node}; ${pairs} pairs, ${scale} run.`;
  const used = Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ');
  const warnings = [...invalidBecause, ...failures].map((text) => `**${text}**\n`);
  const plots = curves.map((curve) => `${renderCurveTable(curve)}\n\n![${curve.title}](${module}-${curve.file}.svg)`);
  const scope =
    scale === 'full'
      ? []
      : ['Less work than the targets name, where a note says so: `holds` is an indication here, not a proof.'];
  return [`# ${module}`, about, used, ...scope, ...warnings, renderMarkdown(rows), ...plots].join('\n\n') + '\n';
}
