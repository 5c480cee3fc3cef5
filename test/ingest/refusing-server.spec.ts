import type { RejectReport } from '@nest-baton/ingest';
import { docs, errorOf, ids, INDEX, records, startIngest, startSink, stopAll } from './support/bench.js';

const reasonsOf = (outcomes: readonly { readonly status: string; readonly reason?: string }[]) =>
  outcomes.map(({ status, reason }) => reason ?? status);

describe('a server that refuses', () => {
  afterEach(stopAll);

  it('halves what is too large in order, and learns the limit (413ReducesBatchSizeAndChunks)', async () => {
    const sink = await startSink({ maxContentLength: 200 });
    const service = startIngest(sink.url, { compression: 'none', concurrency: 1 });
    await service.ingestSync(docs(100));
    expect(ids(sink)).toEqual(docs(100).map(({ id }) => id));
    const before = sink.requests.length;
    await service.ingestSync(docs(100, 100));
    expect(sink.requests.slice(before).map(({ status }) => status)).not.toContain(413);
    expect(sink.documents(INDEX)).toHaveLength(200);
  });

  it('halves a request that tracked documents share with others, for both', async () => {
    const sink = await startSink({ maxContentLength: 200 });
    const service = startIngest(sink.url, { compression: 'none', concurrency: 1 });
    await service.ingest(docs(20));
    await service.ingestSync(docs(20, 20));
    await service.flush();
    expect(records(sink.requests[0]!)).toHaveLength(40);
    expect(sink.requests[0]?.status).toBe(413);
    expect(ids(sink)).toEqual(docs(40).map(({ id }) => id));
  });

  it('calls one document that is too large too_large, alone', async () => {
    const sink = await startSink({ maxContentLength: 200 });
    const service = startIngest(sink.url, { compression: 'none' });
    const receipt = service.ingestBatch([{ id: 1 }, { id: 2, text: 'x'.repeat(300) }, { id: 3 }]);
    expect(reasonsOf(await receipt.outcomes)).toEqual(['accepted', 'too_large', 'accepted']);
    expect(ids(sink)).toEqual([1, 3]);
  });

  it('does not send what is over the limit that was configured', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { compression: 'none', serverLimitBytes: 100, maxBatchBytes: 100 });
    expect(await errorOf(service.ingestSync({ text: 'x'.repeat(100) }))).toMatchObject({ reason: 'too_large' });
    expect(sink.requests).toHaveLength(0);
  });

  it.each([400, 401, 403, 404, 405, 409, 411, 415, 422])(
    'settles a lone document server on %i, at once, and goes on with the next (PermanentStatusReturnsServer)',
    async (status) => {
      const sink = await startSink();
      sink.fail((request) => (records(request)[0]?.['id'] === 1 ? { kind: 'status', status } : undefined));
      const service = startIngest(sink.url, { concurrency: 1 });
      expect(await errorOf(service.ingestSync({ id: 1 }))).toMatchObject({ reason: 'server' });
      expect(sink.requests.length).toBeLessThanOrEqual(2);
      await service.ingestSync({ id: 2 });
      expect(ids(sink)).toEqual([2]);
    },
  );

  it('tells fire-and-forget documents of a permanent status to the hook (PermanentStatusDiscardsFireAndForget)', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'status', status: 422 });
    const discarded: unknown[] = [];
    const service = startIngest(sink.url, { hooks: { onDiscard: (doc, reason) => discarded.push([doc, reason]) } });
    await service.ingest({ id: 1 });
    await service.close();
    expect(discarded).toEqual([[{ id: 1 }, 'server']]);
  });

  it('asks for credentials again after a 401 and goes on', async () => {
    const sink = await startSink();
    sink.fail(({ headers }) => (headers.authorization === 'new' ? undefined : { kind: 'status', status: 401 }));
    let asked = 0;
    await startIngest(sink.url, { auth: () => ({ authorization: ++asked > 1 ? 'new' : 'old' }) }).ingestSync({ id: 1 });
    expect(ids(sink)).toEqual([1]);
  });

  it('finds the one document that makes the server refuse whole requests', async () => {
    const sink = await startSink();
    const poison = (request: Parameters<typeof records>[0]) => records(request).some(({ id }) => id === 333);
    sink.fail((request) => (poison(request) ? { kind: 'status', status: 400, message: 'poison' } : undefined));
    const service = startIngest(sink.url, { concurrency: 1 });
    const outcomes = await service.ingestBatch(docs(1_000)).outcomes;
    expect(
      outcomes.flatMap((o, i) => (o.status === 'accepted' ? [] : [[i, o.status === 'discarded' && o.reason]])),
    ).toEqual([[333, 'rejected']]);
    expect(sink.documents(INDEX)).toHaveLength(999);
    expect(sink.requests.length).toBeLessThanOrEqual(2 * Math.log2(1_024) + 2);
  });

  it('stops after few requests when the request as such is refused, and dead-letters nobody', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'status', status: 400, message: 'invalid index ID' });
    const outcomes = await startIngest(sink.url).ingestBatch(docs(500)).outcomes;
    expect(new Set(reasonsOf(outcomes))).toEqual(new Set(['server']));
    expect(sink.requests).toHaveLength(5);
  });

  it('spends at most 64 requests on a batch with many bad documents', async () => {
    const sink = await startSink();
    sink.fail((request) =>
      records(request).some(({ id }) => Number(id) % 5 === 0)
        ? { kind: 'status', status: 400, message: 'poison' }
        : undefined,
    );
    const outcomes = await startIngest(sink.url, { concurrency: 1 }).ingestBatch(docs(1_000)).outcomes;
    expect(sink.requests.length).toBeLessThanOrEqual(65);
    expect(outcomes).toHaveLength(1_000);
    expect(outcomes.filter(({ status }) => status === 'accepted')).toHaveLength(sink.documents(INDEX).length);
  });

  it('rejects exactly the documents that the server names, by their bytes (PartialRejectionAcksAndReports)', async () => {
    const sink = await startSink({ validate: ({ bad }) => (bad === true ? 'it is bad' : undefined) });
    const reports: RejectReport[] = [];
    const service = startIngest(sink.url, { hooks: { onReject: (report) => reports.push(report) } });
    const outcomes = await service.ingestBatch([
      { id: 1 },
      { bad: true, é: '\u2028' },
      { id: 3 },
      { bad: true },
      { bad: true },
    ]).outcomes;
    expect(reasonsOf(outcomes)).toEqual(['accepted', 'rejected', 'accepted', 'rejected', 'rejected']);
    expect(outcomes[0]).toMatchObject({ attribution: 'document' });
    expect(reports).toMatchObject([{ index: INDEX, documents: 5, rejected: 3, unattributed: 0 }]);
    expect(reports[0]?.failures[0]).toEqual({ reason: 'invalid_schema', message: 'it is bad' });
  });

  it('rejects all when the server rejected all (AllRejectedReturnsRejected, AllRejectedDiscardsFireAndForget)', async () => {
    const sink = await startSink({ validate: () => 'never' });
    const discarded: unknown[] = [];
    const service = startIngest(sink.url, { hooks: { onDiscard: (_doc, reason) => discarded.push(reason) } });
    expect(await errorOf(service.ingestSync(docs(2)))).toMatchObject({ reason: 'rejected' });
    await service.ingest({ id: 1 });
    await service.flush();
    expect(discarded).toEqual(['rejected']);
  });

  it('does without details where the server does not know them, remembers it, and says what it cannot tell', async () => {
    const sink = await startSink({ validate: ({ bad }) => (bad === true ? 'it is bad' : undefined) });
    sink.fail(({ query }) =>
      query.has('detailed_response')
        ? { kind: 'status', status: 400, message: 'detailed_response is not supported' }
        : undefined,
    );
    const reports: RejectReport[] = [];
    const service = startIngest(sink.url, { hooks: { onReject: (report) => reports.push(report) } });
    const outcomes = await service.ingestBatch([{ id: 1 }, { bad: true }]).outcomes;
    expect(outcomes).toMatchObject([
      { status: 'accepted', attribution: 'batch' },
      { status: 'accepted', attribution: 'batch' },
    ]);
    expect(reports).toMatchObject([{ rejected: 1, unattributed: 1 }]);
    await service.ingestSync({ id: 2 });
    expect(sink.requests.map(({ query }) => query.has('detailed_response'))).toEqual([true, false, false]);
  });

  it('counts the legacy answer without verdicts as accepted (UnknownResponseBodyAccepts)', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'legacy' });
    await startIngest(sink.url).ingestSync(docs(3));
    expect(sink.requests).toHaveLength(1);
  });

  it.each([429, 503])('pauses the whole index as long as a %i asks (HonorsRetryAfterOn429)', async (status) => {
    const sink = await startSink();
    sink.fail([{ kind: 'status', status, retryAfter: '1' }]);
    const service = startIngest(sink.url, { maxBatchDocs: 1 });
    const first = service.ingestBatch([{ id: 1 }]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await Promise.all([first.wait(), service.ingestSync({ id: 2 })]);
    const [a, b, c] = sink.requests.map(({ receivedAt }) => receivedAt);
    expect(b! - a!).toBeGreaterThanOrEqual(990);
    expect(c! - a!).toBeGreaterThanOrEqual(990);
  });

  it('asks for a commit only for tracked documents, in requests of their own', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { commit: 'wait_for', maxDelay: 20 });
    await service.ingest({ id: 1 });
    await service.ingestSync({ id: 2 });
    await service.flush();
    const commits = sink.requests.map((request) => [records(request)[0]?.['id'], request.query.get('commit')]);
    expect(commits).toEqual(
      expect.arrayContaining([
        [1, null],
        [2, 'wait_for'],
      ]),
    );
    expect(commits).toHaveLength(2);
    const tracked = sink.requests.find(({ query }) => query.has('commit'));
    expect(records(tracked!)).toEqual([{ id: 2 }]);
    expect(Object.fromEntries(tracked!.query)).toEqual({ commit: 'wait_for', detailed_response: 'true' });
  });

  it('asks for no commit by default, which is auto to the server, also with documents that are tracked', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url);
    await service.ingestSync({ id: 1 });
    await service.ingest({ id: 2 });
    await service.flush();
    expect(ids(sink)).toEqual([1, 2]);
    expect(sink.requests.map(({ query }) => [...query.keys()])).toEqual(sink.requests.map(() => ['detailed_response']));
  });
});
