import { inOrderOfReading, type Row } from './row.js';

const HEAD = ['', 'name', 'measured', 'min - max', 'target'];

/** For the terminal; rows that do not hold come last, where the eye ends. */
export function renderTable(rows: readonly Row[]): string {
  const ordered = inOrderOfReading(rows);
  const lines = [HEAD, ...ordered.map((row) => [verdict(row), row.name, ...figures(row), row.target ?? ''])];
  const widths = HEAD.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const text = lines.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const notes = ordered.flatMap((row) => remark(row).map((note) => `  ${row.name}: ${note}`));
  return [...text, ...(notes.length === 0 ? [] : ['', 'Notes', ...notes])].join('\n');
}

/** For the results file that people read. */
export function renderMarkdown(rows: readonly Row[]): string {
  const lines = inOrderOfReading(rows).map((row) => [
    row.name,
    ...figures(row),
    row.target ?? '',
    verdict(row),
    remark(row).join('; '),
  ]);
  const all = [['name', 'measured', 'min - max', 'target', 'holds', 'note'], Array<string>(6).fill('---'), ...lines];
  return all.map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`).join('\n');
}

/** Four significant digits: more is noise. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const rounded = Number(value.toPrecision(4));
  return Math.abs(rounded) >= 10_000 ? rounded.toLocaleString('en-US').replaceAll(',', ' ') : String(rounded);
}

function figures({ measured, min, max, unit, notBuilt }: Row): readonly [string, string] {
  if (measured === null || min === null || max === null) return [notBuilt === undefined ? 'failed' : 'not built', ''];
  return [`${formatNumber(measured)} ${unit}`, min === max ? '' : `${formatNumber(min)} - ${formatNumber(max)}`];
}

function verdict({ holds }: Row): string {
  return holds === null ? '' : holds ? 'holds' : 'DOES NOT HOLD';
}

function remark({ note, notBuilt, failed }: Row): readonly string[] {
  return [
    note,
    notBuilt === undefined ? undefined : `not built: ${notBuilt}`,
    failed === undefined ? undefined : `failed: ${failed}`,
  ].filter((text) => text !== undefined);
}
