import { jest } from '@jest/globals';
import fc from 'fast-check';
import { CoalescedNotifier, decodeTopics, encodeTopics } from './coalesced-notifier.js';

class Sends {
  readonly payloads: string[] = [];
  readonly errors: string[] = [];
  inFlight = 0;
  mostInFlight = 0;
  private readonly answers: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  readonly notifier = new CoalescedNotifier({
    send: (payload) => this.send(payload),
    onError: (error) => void this.errors.push((error as Error).message),
  });

  async answer(error?: Error): Promise<void> {
    const answer = this.answers.shift();
    if (error === undefined) answer?.resolve();
    else answer?.reject(error);
    for (let i = 0; i < 5; i++) await Promise.resolve();
  }

  private async send(payload: string): Promise<void> {
    this.payloads.push(payload);
    this.mostInFlight = Math.max(this.mostInFlight, ++this.inFlight);
    try {
      await new Promise<void>((resolve, reject) => this.answers.push({ resolve, reject }));
    } finally {
      this.inFlight--;
    }
  }
}

describe('CoalescedNotifier', () => {
  it('sends the first at once, and what comes meanwhile together after it, each topic once', async () => {
    const sends = new Sends();
    sends.notifier.notify('a');
    expect(sends.payloads).toEqual(['["a"]']);
    for (const topic of ['b', 'c', 'b', 'a']) sends.notifier.notify(topic);
    expect(sends.payloads).toHaveLength(1);
    await sends.answer();
    expect(sends.payloads).toEqual(['["a"]', '["b","c","a"]']);
    await sends.answer();
    sends.notifier.notify('d');
    expect(sends.payloads.at(-1)).toBe('["d"]');
    expect(sends.mostInFlight).toBe(1);
  });

  it('reports a send that fails, does not repeat it, and sends what came meanwhile', async () => {
    const sends = new Sends();
    sends.notifier.notify('a');
    sends.notifier.notify('b');
    await sends.answer(new Error('connection lost'));
    expect(sends.errors).toEqual(['connection lost']);
    expect(sends.payloads).toEqual(['["a"]', '["b"]']);
  });

  it('goes on after a send that throws before it returns a promise, and after an onError that throws', () => {
    const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const payloads: string[] = [];
    const notifier = new CoalescedNotifier({
      send: (payload) => {
        payloads.push(payload);
        throw new Error('the pool has ended');
      },
      onError: () => {
        throw new Error('the report is broken');
      },
    });
    for (const topic of ['a', 'b', 'c']) expect(() => notifier.notify(topic)).not.toThrow();
    expect(payloads).toEqual(['["a"]', '["b"]', '["c"]']);
    expect(warn).toHaveBeenCalledTimes(3);
    warn.mockRestore();
  });

  it('keeps to one in flight when a send notifies before it returns its promise', async () => {
    const payloads: string[] = [];
    let [inFlight, mostInFlight] = [0, 0];
    const notifier = new CoalescedNotifier({
      send: async (payload) => {
        mostInFlight = Math.max(mostInFlight, ++inFlight);
        if (payloads.push(payload) === 1) notifier.notify('b');
        await Promise.resolve();
        inFlight--;
      },
      onError: () => undefined,
    });
    notifier.notify('a');
    await notifier.stop();
    expect([payloads, mostInFlight]).toEqual([['["a"]', '["b"]'], 1]);
  });

  it('says * when too many topics wait, and names topics again after that', async () => {
    const sends = new Sends();
    sends.notifier.notify('first');
    for (let i = 0; i < 100_000; i++) sends.notifier.notify(`topic-${i}`);
    await sends.answer();
    expect(sends.payloads.at(-1)).toBe('*');
    await sends.answer();
    sends.notifier.notify('last');
    expect(sends.payloads.at(-1)).toBe('["last"]');
  });

  it('sends what is pending when it is stopped, then nothing more', async () => {
    const sends = new Sends();
    sends.notifier.notify('a');
    sends.notifier.notify('b');
    const stopped = Promise.all([sends.notifier.stop(), sends.notifier.stop()]);
    sends.notifier.notify('c');
    await sends.answer();
    await sends.answer();
    await stopped;
    expect(sends.payloads).toEqual(['["a"]', '["b"]']);
    sends.notifier.notify('d');
    expect(sends.payloads).toHaveLength(2);
  });

  it('stops at once when nothing is pending, before anything was sent too', async () => {
    await expect(new Sends().notifier.stop()).resolves.toBeUndefined();
  });

  it('waits at most a second for a send that is never answered, and sends nothing behind it', async () => {
    jest.useFakeTimers();
    const sends = new Sends();
    sends.notifier.notify('a');
    sends.notifier.notify('b');
    const stopped = sends.notifier.stop();
    await jest.advanceTimersByTimeAsync(1_000);
    await stopped;
    await sends.answer();
    expect([sends.payloads, jest.getTimerCount()]).toEqual([['["a"]'], 0]);
    jest.useRealTimers();
  });

  it('announces every topic after it was notified, with one in flight, in any order of events', async () => {
    const steps = fc.array(fc.oneof(fc.constantFrom('answer', 'fail'), fc.integer({ min: 0, max: 5 })), {
      maxLength: 60,
    });
    await fc.assert(
      fc.asyncProperty(steps, async (events) => {
        const sends = new Sends();
        const notifiedAt = new Map<string, number>();
        for (const event of events) {
          if (event === 'answer') await sends.answer();
          else if (event === 'fail') await sends.answer(new Error('failed'));
          else {
            notifiedAt.set(`t${event}`, sends.payloads.length);
            sends.notifier.notify(`t${event}`);
          }
        }
        const stopped = sends.notifier.stop();
        for (let i = 0; i < 3; i++) await sends.answer();
        await stopped;
        expect(sends.mostInFlight).toBeLessThanOrEqual(1);
        for (const [topic, at] of notifiedAt)
          expect(sends.payloads.slice(at).flatMap((payload) => decodeTopics(payload))).toContain(topic);
      }),
    );
  });
});

describe('encodeTopics and decodeTopics', () => {
  it.each([['plain'], ['*'], ['"quoted"'], ['ä😀\u0000\n'], ['\ud800'], [''], ['a', 'b']])(
    'carry %p there and back',
    (...topics) => {
      expect(decodeTopics(encodeTopics(topics))).toEqual(topics);
    },
  );

  it('count bytes and not letters: 7 999 fit', () => {
    const fits = 'x'.repeat(7_999 - 4);
    expect(encodeTopics([fits])).toHaveLength(7_999);
    expect(encodeTopics([`${fits}x`])).toBe('*');
    expect(encodeTopics(['ä'.repeat(4_000)])).toBe('*');
    expect(encodeTopics(['😀'.repeat(1_998)])).not.toBe('*');
    expect(encodeTopics(['😀'.repeat(1_999)])).toBe('*');
    expect(encodeTopics(['\u0000'.repeat(2_000)])).toBe('*');
  });

  it('never exceed what pg_notify accepts, and name all topics or say *', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 400 }), { maxLength: 60 }), (topics) => {
        const payload = encodeTopics(topics);
        expect(Buffer.byteLength(payload)).toBeLessThan(8_000);
        expect(decodeTopics(payload)).toEqual(payload === '*' ? '*' : topics);
      }),
    );
  });

  it.each([
    ['nothing', ''],
    ['a star', '*'],
    ['no JSON', 'runs moved'],
    ['JSON that is cut', '["a","b'],
    ['an object', '{"0":"a","length":1}'],
    ['a text', '"a"'],
    ['null', 'null'],
    ['a list with a number', '["a",1]'],
    ['a list with null', '[null]'],
    ['lists in lists', `${'['.repeat(4_000)}${']'.repeat(4_000)}`],
    ['__proto__', '{"__proto__":["a"]}'],
    ['control characters', '\u0000\u0001'],
  ])('read %s as *', (_title, payload) => {
    expect(decodeTopics(payload)).toBe('*');
  });

  it('read any text as a list of topics or *', () => {
    const texts = fc.oneof(fc.string({ unit: 'binary' }), fc.json());
    fc.assert(
      fc.property(texts, (payload) => {
        const topics = decodeTopics(payload);
        return topics === '*' || topics.every((topic) => typeof topic === 'string');
      }),
    );
  });
});
