import { HttpException } from '@nestjs/common';
import { QueryFailedError } from 'typeorm';
import { toProblem } from './problem.filter.js';

const lost = (code: string) => new QueryFailedError('SELECT 1', [], Object.assign(new Error('lost'), { code }));

describe('what a failure means to an HTTP client', () => {
  it.each([
    ['a refused connection', Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })],
    ['a refused connection, through TypeORM', lost('ECONNREFUSED')],
    ['a database that shuts down', lost('57P01')],
    ['a connection lost', new Error('Connection terminated unexpectedly')],
    ['no connection in time', new Error('timeout exceeded when trying to connect')],
  ])('is 503 for %s', (_what, error) => {
    expect(toProblem(error)).toMatchObject({ status: 503, code: 'DATABASE_UNAVAILABLE' });
  });

  it.each([
    ['a statement that is wrong', lost('42601')],
    ['a defect of ours', new TypeError('x is not a function')],
    ['nothing', undefined],
  ])('is 500 for %s, and says nothing of it', (_what, error) => {
    const problem = toProblem(error);
    expect(problem).toMatchObject({ status: 500, code: 'INTERNAL' });
    expect(JSON.stringify(problem)).not.toContain('function');
  });

  it('does not repeat what the framework says of the request', () => {
    expect(JSON.stringify(toProblem(new HttpException('Unexpected token s in JSON "secret"', 400)))).not.toContain(
      'secret',
    );
  });
});
