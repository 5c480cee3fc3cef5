import { resolveIngestOptions } from '../ingest.options.js';
import { INGEST_ENVIRONMENT, ingestOptionsFromEnv } from './environment.js';

const TEXTS: Readonly<Record<string, string>> = { duration: '2s', integer: '7' };

function texts(without: RegExp): Record<string, string> {
  return Object.fromEntries(
    INGEST_ENVIRONMENT.filter(({ variable }) => !without.test(variable)).map(({ variable, kind }) => [
      variable,
      TEXTS[kind] ?? '3',
    ]),
  );
}

describe('the options from variables', () => {
  it('reads every variable of its table, and nothing else', () => {
    const common = { protocol: '3', maxBatchDocs: 7, maxDelay: '2s', retry: { base: '2s', factor: 3, cap: '2s' } };
    expect(ingestOptionsFromEnv({ ...texts(/CONCURRENCY_/), OTHER: 'x' })).toMatchObject({
      ...common,
      concurrency: 7,
      auth: { authorization: '3' },
    });
    expect(ingestOptionsFromEnv(texts(/CONCURRENCY$/))).toMatchObject({
      ...common,
      concurrency: { start: 7, min: 7, max: 7 },
    });
    expect(ingestOptionsFromEnv({})).toEqual({});
  });

  it('does not take a fixed concurrency beside bounds, and names the variables', () => {
    const env = { BATON_INGEST_CONCURRENCY: '4', BATON_INGEST_CONCURRENCY_MAX: '8' };
    expect(() => ingestOptionsFromEnv(env)).toThrow(/BATON_INGEST_CONCURRENCY and BATON_INGEST_CONCURRENCY_MAX/);
  });

  it('takes single bounds, the others as they are without it', () => {
    const needed = { BATON_INGEST_URL: 'http://quickwit:7280', BATON_INGEST_INDEX: 'app-logs' };
    const options = ingestOptionsFromEnv({ ...needed, BATON_INGEST_CONCURRENCY_MAX: '16' });
    expect(resolveIngestOptions(options as never).concurrency).toEqual({ start: 2, min: 1, max: 16 });
  });
});
