import { isConflict, leavesOutcomeOpen } from './lost-connection.js';

const error = (code?: string, severity?: string) => Object.assign(new Error('x'), { code, severity });

describe('leavesOutcomeOpen', () => {
  it.each([
    error('57P01', 'FATAL'),
    error('57P01'),
    error('08006'),
    error('ECONNRESET'),
    error('XX000', 'PANIC'),
    error(),
    new Error('Query read timeout'),
    undefined,
  ])('says that %p may have come after the commit', (given) => {
    expect(leavesOutcomeOpen(given)).toBe(true);
  });

  it.each(['23505', '40001', '40P01', '42P01', '22021', '53100', '57014'])(
    'says that %s undid the statement',
    (code) => {
      expect(leavesOutcomeOpen(error(code, 'ERROR'))).toBe(false);
    },
  );
});

describe('isConflict', () => {
  it('is a serialization failure, a deadlock or a place that is taken, also behind TypeORM', () => {
    expect(['40001', '40P01', '23505', '23514'].map((code) => isConflict({ driverError: error(code) }))).toEqual([
      true,
      true,
      true,
      false,
    ]);
  });
});
