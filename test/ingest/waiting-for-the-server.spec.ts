import { IngestError, IngestNotConfirmedError } from '@nest-baton/ingest';
import { freePort, waitFor } from '@nest-baton/testing';
import { docs, errorOf, ids, INDEX, records, startIngest, startSink, stopAll, text } from './support/bench.js';

describe('waiting for the server', () => {
  afterEach(stopAll);

  it('resolves only after the server has the document (IngestSync_ReturnsNilAfterServerAccepts)', async () => {
    const sink = await startSink();
    await startIngest(sink.url).ingestSync({ id: 1 });
    expect(ids(sink)).toEqual([1]);
  });

  it('refuses what cannot be encoded, with its siblings, without a request (IngestSync_EncodeFailureIsPoison)', async () => {
    const sink = await startSink();
    const service = startIngest<unknown>(sink.url);
    const cycle: Record<string, unknown> = {};
    cycle['self'] = cycle;
    for (const bad of [
      { n: 1n },
      cycle,
      undefined,
      () => 1,
      Symbol('s'),
      'text',
      7,
      null,
      { toJSON: () => undefined },
    ]) {
      const error = await errorOf(service.ingestSync([{ id: 1 }, bad]));
      expect(error).toBeInstanceOf(IngestError);
      expect(error).toMatchObject({ code: 'INGEST_DISCARDED', reason: 'encode' });
      expect(error['cause']).toMatchObject({ message: expect.stringContaining('document 1 of the call') });
    }
    await service.flush();
    expect(sink.requests).toHaveLength(0);
    expect(service.stats()).toMatchObject({ bufferedDocs: 0, discarded: { encode: 18 } });
  });

  it('has what a toJSON or a getter threw as cause, of the error and of the document', async () => {
    const sink = await startSink();
    const service = startIngest<unknown>(sink.url);
    const thrown = new Error('thrown by the test');
    const raise = (): never => {
      throw thrown;
    };
    for (const bad of [
      { toJSON: raise },
      { deep: [{ toJSON: raise }] },
      Object.defineProperty({}, 'a', { get: raise, enumerable: true }),
    ]) {
      const error = await errorOf(service.ingestSync([bad, { id: 1 }]));
      expect(error).toMatchObject({ reason: 'encode', cause: thrown, retryable: false });
      expect(error['failures']).toMatchObject([
        { index: 0, reason: 'encode', cause: thrown },
        { index: 1, reason: 'encode' },
      ]);
    }
    expect(sink.requests).toHaveLength(0);
  });

  it("sends odd values as JSON's rules make them, and texts that were cut within an emoji as something the server takes", async () => {
    const sink = await startSink();
    const odd = {
      map: new Map([[1, 2]]),
      set: new Set([1]),
      bytes: Buffer.from('a'),
      array: new Uint8Array([1]),
      never: new Date(NaN),
      nan: NaN,
      infinite: -Infinity,
      zero: -0,
      missing: undefined,
      call: () => 1,
      list: [undefined, () => 1],
      cut: ['a\ud83d', '\ude00', '\ud83d\ude00', '\\ud83d', '\\\ud83d'],
      line: '\n\u2028',
    };
    await startIngest<unknown>(sink.url, { compression: 'none' }).ingestSync(odd);
    expect(text(sink.requests[0]!)).toBe(
      [
        '{"map":{},"set":{},"bytes":{"type":"Buffer","data":[97]},"array":{"0":1},"never":null,"nan":null,"infinite":null,"zero":0,',
        '"list":[null,null],"cut":["a\ufffd","\ufffd","\ud83d\ude00","\\\\ud83d","\\\\\ufffd"],"line":"\\n\u2028"}\n',
      ].join(''),
    );
  });

  it('ends with the signal while the server fails (IngestSync_ContextDeadlineWhileServerFails)', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'status', status: 500 });
    const signal = AbortSignal.timeout(150);
    const error = await errorOf(startIngest(sink.url).ingestSync({ id: 1 }, { signal }));
    expect(error).toBeInstanceOf(IngestNotConfirmedError);
    expect(error['cause']).toBe(signal.reason);
  });

  it('says closed after close, to receipts and to the hook (IngestSync_AfterCloseReturnsClosed)', async () => {
    const sink = await startSink();
    const discarded: unknown[] = [];
    const service = startIngest(sink.url, { hooks: { onDiscard: (doc, reason) => discarded.push([doc, reason]) } });
    await service.close();
    expect(await errorOf(service.ingestSync({ id: 1 }))).toMatchObject({ reason: 'closed' });
    await service.ingest({ id: 2 });
    expect(discarded).toEqual([[{ id: 2 }, 'closed']]);
  });

  it('settles all documents of a call over a 413 (IngestSync_SettlesAcross413Split)', async () => {
    const sink = await startSink();
    sink.fail([{ kind: 'status', status: 413 }]);
    await startIngest(sink.url, { concurrency: 1 }).ingestSync(docs(10));
    expect(ids(sink)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('lets concurrent calls travel together (IngestSync_ConcurrentCallsAreBatched)', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { maxBatchDocs: 50 });
    await Promise.all(docs(200).map((doc) => service.ingestSync(doc)));
    expect([...sink.counts(INDEX).values()]).toEqual(new Array(200).fill(1));
    expect(sink.requests.length).toBeLessThan(20);
  });

  it('resolves a receipt on success (IngestBatch_ReceiptResolvesOnSuccess)', async () => {
    const sink = await startSink();
    const receipt = startIngest(sink.url).ingestBatch(docs(3));
    await receipt.admitted;
    await receipt.wait();
    await receipt.wait();
    expect(receipt.settled).toBe(true);
    const accepted = { status: 'accepted', maybeDuplicate: false, alreadyPresent: false, attribution: 'document' };
    expect(await receipt.outcomes).toEqual([accepted, accepted, accepted]);
  });

  it('settles a receipt closed when closed while the server fails (IngestBatch_ClosedWhileServerFailsSettlesClosed)', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'status', status: 500 });
    // Between two tries at the deadline: a request in flight would be unknown.
    const service = startIngest(sink.url, { retry: { base: '10s', cap: '10s' } });
    const receipt = service.ingestBatch(docs(2));
    await waitFor(() => sink.requests.length > 0, { description: 'a request came' });
    await service.close({ timeout: 100 });
    expect(await errorOf(receipt.wait())).toMatchObject({ code: 'INGEST_DISCARDED', reason: 'closed' });
  });

  it('resolves at once for nothing, without a server (IngestSync_EmptyIsNoop)', async () => {
    const service = startIngest(`http://127.0.0.1:${await freePort()}`);
    await service.ingestSync([]);
    const receipt = service.ingestBatch([]);
    expect(receipt.settled).toBe(true);
    expect(await receipt.outcomes).toEqual([]);
    await service.flush();
  });

  it('looks at an aborted signal before it encodes (IngestSync_PreCancelledContext)', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url);
    const signal = AbortSignal.abort(new Error('changed my mind'));
    expect(await errorOf(service.ingestSync({ n: 1n }, { signal }))).toMatchObject({
      code: 'INGEST_NOT_CONFIRMED',
      cause: signal.reason,
    });
    const receipt = service.ingestBatch([{ id: 1 }], { signal });
    expect(await receipt.outcomes).toEqual([{ status: 'discarded', reason: 'aborted', cause: signal.reason }]);
    expect(await errorOf(receipt.wait())).toMatchObject({ code: 'INGEST_NOT_CONFIRMED' });
    await service.flush();
    expect(sink.requests).toHaveLength(0);
  });

  it('keeps order and loses nothing in a burst of lone calls (IdleFlushPreservesDeliveryUnderBurst)', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { concurrency: 1, maxBatchDocs: 50 });
    await Promise.all(docs(300).map((doc) => service.ingestSync(doc)));
    expect(ids(sink)).toEqual(docs(300).map(({ id }) => id));
  });

  it('ends one wait by its signal, and the documents go on', async () => {
    const sink = await startSink();
    sink.fail([{ kind: 'slow', delayMs: 150 }]);
    const receipt = startIngest(sink.url).ingestBatch([{ id: 1 }]);
    expect(await errorOf(receipt.wait({ signal: AbortSignal.timeout(20) }))).toMatchObject({
      code: 'INGEST_NOT_CONFIRMED',
    });
    await Promise.all([receipt.wait(), receipt.wait({ signal: new AbortController().signal })]);
    expect(ids(sink)).toEqual([1]);
  });

  it('raises no unhandled rejection for a receipt that nobody looks at', async () => {
    const sink = await startSink();
    const seen: unknown[] = [];
    const listener = (reason: unknown) => seen.push(reason);
    process.on('unhandledRejection', listener);
    const service = startIngest(sink.url);
    service.ingestBatch([{ n: 1n }]);
    await service.close();
    service.ingestBatch([{ id: 1 }]);
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', listener);
    expect(seen).toEqual([]);
  });

  it('sends what the document was when it was handed in, encoded once', async () => {
    const sink = await startSink();
    sink.fail([
      { kind: 'status', status: 503 },
      { kind: 'status', status: 500 },
    ]);
    let encoded = 0;
    const doc = { text: 'a\nb\u2028', value: NaN, toJSON: () => (encoded++, { text: doc.text, value: doc.value }) };
    const done = startIngest(sink.url).ingestSync(doc);
    doc.text = 'changed';
    await done;
    expect(encoded).toBe(1);
    expect(sink.requests).toHaveLength(3);
    expect(sink.documents(INDEX)).toEqual([{ text: 'a\nb\u2028', value: null }]);
    expect(records(sink.requests[2]!)).toHaveLength(1);
  });
});
