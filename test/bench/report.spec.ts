import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Bench, type Scale } from '../../bench/harness/benchmark.js';
import { single } from '../../bench/harness/measuring/spread.js';
import { describeMachine } from '../../bench/harness/reporting/machine.js';
import { type Results, resultsOf, writeResults } from '../../bench/harness/reporting/results-file.js';
import { renderPlot } from '../../bench/harness/reporting/svg-plot.js';
import { formatNumber, renderTable } from '../../bench/harness/reporting/table.js';
import { REFERENCE_SPEED } from '../../bench/harness/validity/reference-figure.js';

const TARGETS = {
  fast: { name: 'fast enough', unit: 'x', atLeast: 2 },
  small: { name: 'small enough', unit: 'MB', atMost: 64 },
  cluster: { name: 'on a cluster', unit: '%', atLeast: 100 },
  forgotten: { name: 'nobody measured it', unit: 'ms', atMost: 1 },
};

function newBench(scale: Scale = 'quick') {
  return new Bench(TARGETS, { scale, say: () => undefined });
}

function reported() {
  const bench = newBench();
  bench.meets('fast', { measured: 1.5, min: 1, max: 3 }, 'two pairs');
  bench.notBuilt('cluster', 'there is no cluster yet');
  bench.meets('small', single(64));
  bench.shows('the floor', single(123_456), '/s');
  return bench;
}

function results(bench: Bench<keyof typeof TARGETS>): Results {
  return resultsOf('example', bench, {
    machine: describeMachine(REFERENCE_SPEED, 0),
    versions: { peer: '1.0.0' },
    calibration: [],
    invalidBecause: [],
    calibrationRows: [],
  });
}

describe('the report of a benchmark', () => {
  it('prints rows that do not hold last, those without a target first', () => {
    const names = renderTable(reported().rows())
      .split('\n')
      .slice(1)
      .map(
        (line) =>
          Object.values(TARGETS).find(({ name }) => line.includes(` ${name} `))?.name ?? line.trim().slice(0, 9),
      );
    expect(names.slice(0, 5)).toEqual([
      'the floor',
      'small enough',
      'fast enough',
      'on a cluster',
      'nobody measured it',
    ]);
  });

  it('says why a row was not measured, and breaks nothing where the machine was too slow for it', () => {
    const bench = newBench();
    bench.notMeasured('cluster', 'the nodes did not agree in time');
    expect(bench.rows().find(({ name }) => name === TARGETS.cluster.name)).toMatchObject({
      measured: null,
      holds: false,
      failed: 'the nodes did not agree in time',
    });
    expect(bench.failures).toEqual([]);
  });

  it('has a row for every target, also for what does not exist and for what nobody measured', () => {
    const rows = new Map(
      reported()
        .rows()
        .map((row) => [row.name, row]),
    );
    expect(rows.get('fast enough')).toEqual({
      name: 'fast enough',
      target: '>= 2 x',
      measured: 1.5,
      min: 1,
      max: 3,
      unit: 'x',
      holds: false,
      note: 'two pairs',
    });
    expect(rows.get('small enough')).toMatchObject({ target: '<= 64 MB', holds: true });
    expect(rows.get('on a cluster')).toMatchObject({
      measured: null,
      holds: false,
      notBuilt: 'there is no cluster yet',
    });
    expect(rows.get('nobody measured it')).toMatchObject({ measured: null, holds: false, failed: expect.any(String) });
    expect(rows.get('the floor')).toMatchObject({ target: null, holds: null, measured: 123_456 });
  });

  it('goes on after a part that breaks, stops what that used, and says why its targets failed', async () => {
    const bench = newBench();
    const stopped: string[] = [];
    await bench.section('first', async (use) => {
      use({ stop: () => Promise.resolve(stopped.push('a')) });
      use({ stop: () => Promise.resolve(stopped.push('b')) });
      return Promise.reject(new Error('the peer does not start'));
    });
    await bench.section('second', async () => bench.meets('fast', single(2)));
    expect(stopped).toEqual(['b', 'a']);
    expect(bench.failures).toEqual(['first: the peer does not start']);
    expect(bench.rows()).toContainEqual(expect.objectContaining({ name: 'fast enough', holds: true }));
    expect(bench.rows()).toContainEqual(
      expect.objectContaining({ name: 'small enough', failed: 'first: the peer does not start' }),
    );
  });

  it('refuses two results for one target', () => {
    const bench = newBench();
    bench.meets('fast', single(2));
    expect(() => bench.meets('fast', single(3))).toThrow("The target 'fast' was reported twice.");
  });

  it('compares nine pairs, five in short, and two when it is quick', () => {
    expect((['full', 'short', 'quick'] as const).map((scale) => newBench(scale).pairs)).toEqual([9, 5, 2]);
  });

  it('writes machine, versions and rows as JSON, with a plot for each curve', () => {
    const folder = mkdtempSync(join(tmpdir(), 'bench-report-'));
    try {
      const bench = reported();
      bench.curve({
        file: 'by-size',
        title: 'Cost by size',
        xLabel: 'size',
        yLabel: 'ms',
        lines: [
          {
            name: 'ours',
            points: [
              [1, 2],
              [10, 3],
            ],
          },
        ],
      });
      writeResults(folder, results(bench));
      const written = JSON.parse(readFileSync(join(folder, 'example.json'), 'utf8')) as Results;
      expect(written).toMatchObject({ module: 'example', scale: 'quick', isValid: null, versions: { peer: '1.0.0' } });
      expect(written.machine).toMatchObject({ cores: expect.any(Number), node: process.versions.node });
      expect(written.rows).toHaveLength(5);
      for (const row of written.rows)
        expect(Object.keys(row)).toEqual(
          expect.arrayContaining(['name', 'target', 'measured', 'min', 'max', 'unit', 'holds']),
        );
      expect(readFileSync(join(folder, 'example-by-size.svg'), 'utf8')).toMatch(/^<svg /);
      expect(readFileSync(join(folder, 'example.md'), 'utf8')).toContain('| 10 | 3 |');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('draws names that are no XML, and a curve of one point', () => {
    const svg = renderPlot({
      file: 'one',
      title: 'a < b & c',
      xLabel: 'x',
      yLabel: 'y',
      xScale: 'log',
      lines: [{ name: '"ours"', points: [[100, 0]] }],
    });
    expect(svg).toContain('a &lt; b &amp; c');
    expect(svg).not.toMatch(/NaN|Infinity/);
  });

  it('rounds to four digits', () => {
    expect([1.23456, 0.000123456, 123_456, 9999.9, -2.5].map(formatNumber)).toEqual([
      '1.235',
      '0.0001235',
      '123 500',
      '10 000',
      '-2.5',
    ]);
  });
});
