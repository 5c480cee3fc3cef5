import { readFileSync } from 'node:fs';
import { metricName, type MetricTable } from '@nest-baton/core';

/** What a lib's README must say of its instruments: a row each. */
export function metricRows(table: MetricTable): string[] {
  return Object.entries(table.instruments).map(([name, row]) => {
    const attribute = row.by === undefined ? '' : `\`baton.${row.by}\`: ${row.values.join(', ')}`;
    return `| \`${metricName(table, name)}\` | ${row.kind} | \`${row.unit}\` |${attribute === '' ? '' : ` ${attribute}`} | ${row.description.replace(/\.$/, '')} |`;
  });
}

/** The lines of a README, with single spaces: a formatter aligns its tables. */
export function plainRows(folder: string): string[] {
  const readme = readFileSync(`${folder}/README.md`, 'utf8');
  return readme.split('\n').map((line) => line.replace(/ +/g, ' '));
}
