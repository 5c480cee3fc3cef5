import {
  INGEST_ENVIRONMENT,
  type IngestOptions,
  ingestOptionsFromEnv,
  resolveIngestOptions,
} from './ingest.options.js';

function problemsOf(options: object): readonly string[] {
  try {
    resolveIngestOptions(options as IngestOptions);
    return [];
  } catch (error) {
    return (error as { problems: readonly string[] }).problems;
  }
}

const ENOUGH = { url: 'http://quickwit:7280/', index: 'app-logs' };

describe('the options', () => {
  it('needs a url and an index', () => {
    expect(problemsOf({})).toEqual(['url is required', 'index is required']);
    expect(resolveIngestOptions(ENOUGH)).toMatchObject({ maxBatchDocs: 1_000, maxDelayMs: 1_000, concurrency: 2 });
  });

  it('gives a request longer than the 35 s that the server takes at most, and one with a commit 30 s above its timeout', () => {
    expect(resolveIngestOptions(ENOUGH)).toMatchObject({ requestTimeoutMs: 40_000, commitTimeoutMs: 90_000 });
  });

  it.each(['ab', '1abc', 'a b c', 'ab/../c', 'a'.repeat(256), '_all'])('refuses the index %p', (index) => {
    expect(problemsOf({ ...ENOUGH, index })).toHaveLength(1);
  });

  it.each([
    [{ maxBatchBytes: 11 * 1024 * 1024 }, 'maxBatchBytes'],
    [{ retry: { base: '2s' } }, 'retry.cap'],
    [{ retry: { bse: 1 } }, 'retry: unknown option bse; did you mean base'],
    [{ auth: { authorization: 'a\nb' } }, 'auth'],
    [{ hooks: { onDiscard: 1 } }, 'hooks.onDiscard'],
    [{ hooks: null }, 'hooks'],
    [{ dispatcher: {} }, 'dispatcher'],
    [{ url: 'http://u:secret@x' }, 'url must hold no credentials'],
    [{ concurrency: 0 }, 'concurrency'],
    [{ maxDelai: 1 }, 'did you mean maxDelay'],
  ])('refuses %p', (options, part) => {
    const problems = problemsOf({ ...ENOUGH, ...options });
    expect(problems.join('\n')).toContain(part);
    expect(problems.join('\n')).not.toContain('secret');
  });

  it('reads every variable of its table, and nothing else', () => {
    const env = Object.fromEntries(
      INGEST_ENVIRONMENT.map(({ variable, kind }) => [
        variable,
        { duration: '2s', integer: '7' }[kind as string] ?? '3',
      ]),
    );
    expect(ingestOptionsFromEnv({ ...env, OTHER: 'x' })).toMatchObject({
      maxBatchDocs: 7,
      maxDelay: '2s',
      retry: { base: '2s', factor: 3, cap: '2s' },
      auth: { authorization: '3' },
    });
    expect(ingestOptionsFromEnv({})).toEqual({});
  });
});
