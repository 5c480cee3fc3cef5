import { protocolOf } from './protocol.js';

const request = { basePath: '/proxy', index: 'app-logs', commit: 'auto', detailed: false } as const;

describe('the native protocol', () => {
  const native = protocolOf('native', false);

  it.each([
    ['/proxy/api/v1/app-logs/ingest', {}],
    ['/api/v1/app-logs/ingest', { basePath: '' }],
    ['/proxy/api/v1/app-logs/ingest?detailed_response=true', { detailed: true }],
    ['/proxy/api/v1/app-logs/ingest?commit=wait_for', { commit: 'wait_for' }],
    ['/proxy/api/v1/app-logs/ingest?commit=force&detailed_response=true', { commit: 'force', detailed: true }],
  ] as const)('asks for %s', (path, more) => {
    expect(native.path({ ...request, ...more })).toBe(path);
  });

  it('writes nothing before a document, since the server knows no ids', () => {
    expect([native.head(undefined), native.head('a'), native.hasDetails]).toEqual(['', '', true]);
  });

  it.each(['logs', 'A.b_c-1', 'abc', 'x'.repeat(255)])('takes the index %s', (index) => {
    expect(native.indexProblem(index)).toBeUndefined();
  });

  it.each(['', 'ab', '1logs', '-logs', 'lo gs', 'lo/gs', 'lögs', 'x'.repeat(256), 'logs\n'])(
    'has a word against the index %p',
    (index) => expect(native.indexProblem(index)).toMatch(/^must be a letter followed by/),
  );
});

describe('the bulk protocol', () => {
  const bulk = protocolOf('bulk', true);

  it.each([
    ['/proxy/app-logs/_bulk', {}],
    ['/app-logs/_bulk', { basePath: '' }],
    ['/api/v1/_elastic/app-logs/_bulk?refresh=wait_for', { basePath: '/api/v1/_elastic', commit: 'wait_for' }],
    ['/proxy/app-logs/_bulk?refresh=true', { commit: 'force' }],
    ['/proxy/%C3%BC%26%25b/_bulk', { index: 'ü&%b' }],
  ] as const)('asks for %s', (path, more) => {
    expect(bulk.path({ ...request, ...more })).toBe(path);
  });

  it('creates, with the id that there is, whatever is in it', () => {
    expect(bulk.head(undefined)).toBe('{"create":{}}\n');
    for (const id of ['a', '"}}\n{"index":{', 'ü\u2028\u0000', '\\']) {
      const head = bulk.head(id);
      expect(head.indexOf('\n')).toBe(head.length - 1);
      expect(JSON.parse(head)).toEqual({ create: { _id: id } });
    }
  });

  it('takes a conflict for success only when documents have ids', () => {
    const body = Buffer.from('{"errors":true,"items":[{"create":{"status":409}}]}');
    const result = { kind: 'answer', status: 200, retryAfter: undefined, body, isCut: false } as const;
    expect(bulk.read(result, 1, 0)).toMatchObject({ items: [{ kind: 'accepted', alreadyPresent: true }] });
    expect(protocolOf('bulk', false).read(result, 1, 0)).toMatchObject({ items: [{ kind: 'rejected' }] });
  });

  it.each(['a', 'logs-app-default', '.hidden', '1', 'lögs', 'a%b', 'a.b_c-d+e', 'x'.repeat(255), '...'])(
    'takes the index %s for Elasticsearch',
    (index) => expect(bulk.indexProblem(index)).toBeUndefined(),
  );

  it.each([
    ['', /empty/],
    ['.', /"\."/],
    ['..', /"\.\."/],
    ['Logs', /lower case/],
    ['-logs', /start/],
    ['_logs', /start/],
    ['+logs', /start/],
    ...Array.from('\\/*?"<>| ,#:\n\u007f\ud800', (char) => [`a${char}b`, /must be without/] as const),
    ['<logs-{now/d}>', /must be without/],
    ['remote:logs', /must be without/],
    ['x'.repeat(256), /255 bytes, not 256/],
    ['ü'.repeat(128), /255 bytes, not 256/],
  ] as const)('has a word against the index %p for Elasticsearch', (index, problem) => {
    expect(bulk.indexProblem(index)).toMatch(problem);
    expect(bulk.indexProblem(index, '/elastic')).toMatch(problem);
  });

  it.each(['/api/v1/_elastic', '/proxy/api/v1/_elastic', '/_elastic'])(
    "keeps Quickwit's rule where the URL's path is %s, since it answers other names without a verdict",
    (basePath) => {
      expect(bulk.indexProblem('AppLogs', basePath)).toBeUndefined();
      expect(bulk.indexProblem('app-logs', basePath)).toBeUndefined();
      expect(bulk.indexProblem('ab', basePath)).toMatch(/letter/);
      expect(bulk.indexProblem('.hidden', basePath)).toMatch(/letter/);
    },
  );
});
