import {
  BatonError,
  LeaseLostError,
  MigrationsPendingError,
  NotInTransactionError,
  OptionsInvalidError,
  ServerUnsupportedError,
  ShuttingDownError,
} from './errors.js';

describe('errors of Baton', () => {
  it.each([
    [new NotInTransactionError('x'), 'NotInTransactionError', 'NOT_IN_TRANSACTION', false],
    [new ShuttingDownError('x'), 'ShuttingDownError', 'SHUTTING_DOWN', true],
    [new LeaseLostError('x'), 'LeaseLostError', 'LEASE_LOST', false],
    [new OptionsInvalidError('IngestModule', ['x']), 'OptionsInvalidError', 'OPTIONS_INVALID', false],
    [new ServerUnsupportedError('x'), 'ServerUnsupportedError', 'SERVER_UNSUPPORTED', false],
    [new MigrationsPendingError('x'), 'MigrationsPendingError', 'MIGRATIONS_PENDING', false],
  ])('%s has its name, code and word on retrying', (error, name, code, retryable) => {
    expect(error).toMatchObject({ name, code, retryable });
    expect(error).toBeInstanceOf(BatonError);
    expect(error).toBeInstanceOf(Error);
    expect(error.stack).toContain(name);
  });

  it('carries a cause only where there is one', () => {
    const cause = new Error('socket hang up');
    expect(new LeaseLostError('gone', { cause }).cause).toBe(cause);
    expect('cause' in new LeaseLostError('gone')).toBe(false);
    expect(new LeaseLostError('gone', { cause: null }).cause).toBeNull();
  });

  it('lists every problem of options, a line each', () => {
    const error = new OptionsInvalidError('IngestModule', ['a is required', 'b must be a number']);
    expect(error.message).toBe('IngestModule is not configured correctly:\n  - a is required\n  - b must be a number');
    expect(error).toMatchObject({ subject: 'IngestModule', problems: ['a is required', 'b must be a number'] });
  });
});
