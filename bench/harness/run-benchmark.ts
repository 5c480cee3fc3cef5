import { Bench, type Benchmark, type Scale } from './benchmark.js';
import { single } from './measuring/spread.js';
import { describeMachine, loadNow, versionsOf } from './reporting/machine.js';
import { type Results, resultsOf } from './reporting/results-file.js';
import { measuredRow, plainRow, type Row } from './reporting/row.js';
import { betweenOf, measureMachine } from './validity/calibration.js';
import {
  checkFigure,
  type FigureCheck,
  LEAST_SHARE,
  type MachineSpeed,
  reasonsForInvalidity,
  REFERENCE_SPEED,
} from './validity/reference-figure.js';

/** Measures the machine, runs the benchmark, measures the machine again, and puts everything together. */
export async function runBenchmark(benchmark: Benchmark, scale: Scale, say: (text: string) => void): Promise<Results> {
  const loadBefore = loadNow();
  say('the machine itself');
  const before = await measureMachine();
  const bench = new Bench(benchmark.targets, { scale, say });
  await bench.section(benchmark.name, () => benchmark.run(bench));
  const speed = betweenOf(before, await measureMachine());
  // The reference was measured at full size: smaller work comes to other figures.
  const calibration = (scale === 'full' ? bench.references : []).map(({ figure, spread }) =>
    checkFigure(figure, spread, speed),
  );
  return resultsOf(benchmark.name, bench, {
    machine: describeMachine(speed, loadBefore),
    versions: versionsOf(benchmark.packages),
    calibration,
    invalidBecause: reasonsForInvalidity(calibration),
    calibrationRows: [...speedRows(speed), ...calibration.map(checkRow)],
  });
}

function speedRows(speed: MachineSpeed): readonly Row[] {
  const parts = Object.keys(speed) as (keyof MachineSpeed)[];
  return parts.map((part) =>
    plainRow(
      `calibration: ${part}`,
      single(speed[part]),
      '/s',
      `${(speed[part] / REFERENCE_SPEED[part]).toFixed(2)}x of the reference machine`,
    ),
  );
}

function checkRow({ name, ratio, expected, measured }: FigureCheck): Row {
  const target = { name: `calibration: ${name} against its reference figure`, unit: 'x', atLeast: LEAST_SHARE };
  return measuredRow(target, single(ratio), `${Math.round(measured)} of ${Math.round(expected)} a second`);
}
