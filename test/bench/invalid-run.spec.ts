import {
  checkFigure,
  type MachineSpeed,
  REFERENCE_SPEED,
  type ReferenceFigure,
  reasonsForInvalidity,
} from '../../bench/harness/validity/reference-figure.js';

const FIGURE: ReferenceFigure = { name: 'the floor', runs: [40, 10], dependsOn: ['cpu'], conditions: '' };

function measured(value: number) {
  return { measured: value, min: value, max: value };
}

function machine(changes: Partial<MachineSpeed> = {}): MachineSpeed {
  return { ...REFERENCE_SPEED, ...changes };
}

describe('a run that a hampered floor or peer makes invalid', () => {
  it('expects the geometric mean of the reference’s runs on a machine as fast as that', () => {
    expect(checkFigure(FIGURE, measured(20), machine())).toMatchObject({ isValid: true });
    expect(checkFigure(FIGURE, measured(20), machine()).expected).toBeCloseTo(20);
  });

  it('is valid at 0.7 of that, and invalid below', () => {
    expect(checkFigure(FIGURE, measured(14.01), machine()).isValid).toBe(true);
    expect(checkFigure(FIGURE, measured(13.99), machine()).isValid).toBe(false);
  });

  it('expects less of a slower machine and more of a faster one', () => {
    const slow = machine({ cpu: REFERENCE_SPEED.cpu / 2 });
    const fast = machine({ cpu: REFERENCE_SPEED.cpu * 2 });
    expect(checkFigure(FIGURE, measured(10), slow)).toMatchObject({ isValid: true });
    expect(checkFigure(FIGURE, measured(20), fast)).toMatchObject({ isValid: false });
  });

  it('heeds only what the figure depends on', () => {
    const slowDisk = machine({ fsync: REFERENCE_SPEED.fsync / 100 });
    expect(checkFigure(FIGURE, measured(20), slowDisk).ratio).toBeCloseTo(1);
    const both: ReferenceFigure = { ...FIGURE, dependsOn: ['cpu', 'fsync'] };
    expect(checkFigure(both, measured(20), slowDisk).expected).toBeCloseTo(2);
  });

  it('says which figure it was and by how much', () => {
    const checks = [checkFigure(FIGURE, measured(20), machine()), checkFigure(FIGURE, measured(5), machine())];
    expect(reasonsForInvalidity(checks)).toEqual([
      'the floor came to 0.25x of its reference figure after calibration, below 0.7x: the run is invalid.',
    ]);
  });

  it('refuses a figure that depends on nothing', () => {
    expect(() => checkFigure({ ...FIGURE, dependsOn: [] }, measured(20), machine())).toThrow(RangeError);
  });
});
