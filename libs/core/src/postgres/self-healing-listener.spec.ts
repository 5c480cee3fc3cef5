import { EventEmitter } from 'node:events';
import { jest } from '@jest/globals';
import fc from 'fast-check';
import { type ListenClient, SelfHealingListener, type SelfHealingListenerOptions } from './self-healing-listener.js';

interface Deferred {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: unknown): void;
}

function deferred(): Deferred {
  let [resolve, reject]: [() => void, (error: unknown) => void] = [() => undefined, () => undefined];
  const promise = new Promise<void>((yes, no) => ([resolve, reject] = [yes, no]));
  promise.catch(() => undefined); // a fake may fail a step that nobody has begun
  return { promise, resolve, reject };
}

/** A client whose every step waits for the test. Like `pg`, its emitter throws on an 'error' that nobody listens to. */
class FakeClient implements ListenClient {
  private readonly events = new EventEmitter();
  readonly connecting = deferred();
  readonly listening = deferred();
  readonly ending = deferred();
  readonly calls: string[] = [];
  readonly connection = { stream: { destroy: () => void this.calls.push('destroy') } };

  async connect(): Promise<void> {
    this.calls.push('connect');
    await this.connecting.promise;
  }

  async query(text: string): Promise<void> {
    this.calls.push(text);
    await this.listening.promise;
  }

  async end(): Promise<void> {
    this.calls.push('end');
    await this.ending.promise;
  }

  /** Connects, LISTENs and ends at once. */
  willing(): this {
    this.connecting.resolve();
    this.listening.resolve();
    this.ending.resolve();
    return this;
  }

  refusing(message = 'connect ECONNREFUSED'): this {
    this.connecting.reject(new Error(message));
    this.ending.resolve();
    return this;
  }

  on(event: string, listener: (value: never) => void): void {
    this.events.on(event, listener as (value: unknown) => void);
  }

  emit(event: string, value?: unknown): void {
    this.events.emit(event, value);
  }

  notify(channel: string, payload?: string): void {
    this.emit('notification', { channel, payload });
  }

  /** What `pg` emits when the server terminates the backend. */
  terminate(): void {
    this.emit('error', new Error('terminating connection due to administrator command'));
    this.emit('error', new Error('Connection terminated unexpectedly'));
    this.emit('end');
  }

  get ends(): number {
    return this.calls.filter((call) => call === 'end').length;
  }
}

const listeners: SelfHealingListener[] = [];

class Scene {
  readonly clients: FakeClient[] = [];
  readonly payloads: string[] = [];
  readonly lost: string[] = [];
  listenings = 0;
  next: (client: FakeClient) => void = (client) => void client.willing();
  readonly listener: SelfHealingListener;

  constructor(options: Partial<SelfHealingListenerOptions> = {}) {
    this.listener = new SelfHealingListener({
      createClient: () => {
        const client = new FakeClient();
        this.clients.push(client);
        this.next(client);
        return client;
      },
      channel: 'Runs',
      onNotification: (payload) => void this.payloads.push(payload),
      onListening: () => void this.listenings++,
      onLost: (error) => void this.lost.push((error as Error).message),
      random: () => 1,
      ...options,
    });
    listeners.push(this.listener);
  }

  get last(): FakeClient {
    return this.clients.at(-1)!;
  }
}

const settle = () => jest.advanceTimersByTimeAsync(0);
const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);

beforeEach(() => void jest.useFakeTimers());
afterEach(async () => {
  const stopped = Promise.all(listeners.splice(0).map((listener) => listener.stop()));
  await pass(1_000);
  await stopped;
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});

describe('SelfHealingListener: as upstream promises', () => {
  it('L1 handles the client error and listens again on a new connection', async () => {
    const scene = new Scene();
    await scene.listener.start();
    expect(scene.last.calls).toEqual(['connect', 'LISTEN "Runs"']);
    expect(() => scene.last.terminate()).not.toThrow();
    expect(scene.listener.state).toBe('connecting');
    await pass(250);
    expect(scene.clients).toHaveLength(2);
    expect([scene.listener.state, scene.listenings]).toEqual(['listening', 2]);
    expect(scene.last.calls).toEqual(['connect', 'LISTEN "Runs"']);
    scene.last.notify('Runs', 'payload');
    expect(scene.payloads).toEqual(['payload']);
    await scene.listener.stop();
    // Upstream sends UNLISTEN first; ending the session does the same and cannot hang in a query.
    expect(scene.last.calls.at(-1)).toBe('end');
  });

  it('L2 keeps retrying while the database is unavailable', async () => {
    const scene = new Scene();
    await scene.listener.start();
    scene.next = (client) => void client.refusing();
    scene.last.terminate();
    await pass(10 * 60_000);
    // 250 ms doubling to 30 s takes 31.75 s for seven attempts, then two a minute.
    expect(scene.clients.length).toBeGreaterThanOrEqual(25);
    expect(scene.listener.state).toBe('connecting');
    scene.next = (client) => void client.willing();
    await pass(30_000);
    expect(scene.listener.state).toBe('listening');
  });

  it('L3 stops reconnecting once closed', async () => {
    const scene = new Scene();
    await scene.listener.start();
    scene.next = (client) => void client.refusing();
    scene.last.terminate();
    await pass(1_000);
    await scene.listener.stop();
    const attempts = scene.clients.length;
    await pass(10 * 60_000);
    expect([scene.clients.length, scene.listener.state]).toEqual([attempts, 'stopped']);
  });

  it('L4 still rejects when the first connection fails', async () => {
    const scene = new Scene();
    scene.next = (client) => void client.refusing();
    await expect(scene.listener.start()).rejects.toThrow('connect ECONNREFUSED');
  });
});

describe('SelfHealingListener: losing the connection', () => {
  it('starts one attempt for error, error and end of one client', async () => {
    const scene = new Scene();
    await scene.listener.start();
    scene.last.terminate();
    await pass(60_000);
    expect(scene.clients).toHaveLength(2);
    expect(scene.lost).toEqual(['terminating connection due to administrator command']);
    expect(scene.clients[0]!.ends).toBe(1);
  });

  it.each(['error', 'end'])('notices a loss that is told by %s alone', async (event) => {
    const scene = new Scene();
    await scene.listener.start();
    scene.last.emit(event, new Error('gone'));
    await pass(250);
    expect([scene.clients.length, scene.lost.length, scene.listener.state]).toEqual([2, 1, 'listening']);
  });

  it('is not disturbed by late events of a client it has left', async () => {
    const scene = new Scene();
    await scene.listener.start();
    scene.last.terminate();
    await pass(250);
    scene.clients[0]!.terminate();
    scene.clients[0]!.notify('Runs', 'from the dead');
    await pass(60_000);
    expect([scene.clients.length, scene.lost.length, scene.payloads]).toEqual([2, 1, []]);
  });

  it('waits 250 ms, doubles to 30 s, and starts at 250 ms again after a success', async () => {
    const scene = new Scene({ random: () => 1 });
    await scene.listener.start();
    scene.next = (client) => void client.refusing();
    scene.last.terminate();
    for (const delay of [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
      const before = scene.clients.length;
      await pass(delay - 1);
      expect(scene.clients).toHaveLength(before);
      await pass(1);
      expect(scene.clients).toHaveLength(before + 1);
    }
    scene.next = (client) => void client.willing();
    await pass(30_000);
    expect(scene.listener.state).toBe('listening');
    const before = scene.clients.length;
    scene.last.terminate();
    await pass(250);
    expect(scene.clients).toHaveLength(before + 1);
  });

  it('waits at least half of each delay, by chance more', async () => {
    const scene = new Scene({ random: () => 0 });
    await scene.listener.start();
    scene.last.terminate();
    await pass(124);
    expect(scene.clients).toHaveLength(1);
    await pass(1);
    expect(scene.clients).toHaveLength(2);
  });

  it('tells each failure once, and again that it listens after each loss', async () => {
    const scene = new Scene();
    await scene.listener.start();
    scene.next = (client) => void client.refusing('the database system is starting up');
    scene.last.terminate();
    await pass(250);
    await pass(500);
    expect(scene.lost.slice(1)).toEqual(Array(2).fill('the database system is starting up'));
    scene.next = (client) => void client.willing();
    await pass(1_000);
    expect(scene.listenings).toBe(2);
  });

  it('reports why a connection could not be made, although the end is told earlier', async () => {
    const scene = new Scene();
    scene.next = (client) => client.ending.resolve();
    const started = scene.listener.start();
    // The promise tells a microtask later, the event at once: as with `pg` on a refused connection.
    scene.last.connecting.reject(new Error('connect ECONNREFUSED'));
    scene.last.emit('end');
    await expect(started).rejects.toThrow('connect ECONNREFUSED');
    await settle();
    expect(scene.lost).toEqual(['connect ECONNREFUSED']);
  });

  it('goes on when createClient throws, at the start and later', async () => {
    const scene = new Scene();
    scene.next = () => {
      throw new Error('invalid connection string');
    };
    await expect(scene.listener.start()).rejects.toThrow('invalid connection string');
    await pass(250);
    expect(scene.lost).toEqual(Array(2).fill('invalid connection string'));
    scene.next = (client) => void client.willing();
    await pass(500);
    expect(scene.listener.state).toBe('listening');
  });
});

describe('SelfHealingListener: an attempt that nobody answers', () => {
  it.each<[string, (client: FakeClient) => void]>([
    ['connecting', (client) => client.ending.resolve()],
    ['LISTEN', (client) => (client.ending.resolve(), client.connecting.resolve())],
  ])('gives up %s after its time, ends the client and tries again', async (_step, behave) => {
    const scene = new Scene({ attemptTimeoutMs: 5_000 });
    scene.next = behave;
    const started = scene.listener.start();
    const failed = expect(started).rejects.toThrow('LISTEN was not active within 5000 ms');
    await pass(5_000);
    await failed;
    expect(scene.clients[0]!.ends).toBe(1);
    scene.next = (client) => void client.willing();
    await pass(250);
    expect([scene.clients.length, scene.listener.state]).toEqual([2, 'listening']);
  });

  it('has 10 s by default', async () => {
    const scene = new Scene();
    scene.next = () => undefined;
    const failed = expect(scene.listener.start()).rejects.toThrow('within 10000 ms');
    await pass(10_000);
    await failed;
  });

  it('does not listen on a client that connects after its attempt was given up, and ends it', async () => {
    const scene = new Scene({ attemptTimeoutMs: 5_000 });
    scene.next = (client) => client.ending.resolve();
    const failed = expect(scene.listener.start()).rejects.toThrow();
    await pass(5_000);
    await failed;
    scene.next = (client) => void client.willing();
    scene.clients[0]!.connecting.resolve();
    await pass(250);
    expect(scene.clients[0]!.calls).toEqual(['connect', 'end', 'end']);
    expect(scene.listener.state).toBe('listening');
  });

  it('swallows what a given up client says later', async () => {
    const scene = new Scene({ attemptTimeoutMs: 5_000 });
    scene.next = (client) => (client.ending.resolve(), client.connecting.resolve());
    const failed = expect(scene.listener.start()).rejects.toThrow();
    await pass(5_000);
    await failed;
    scene.clients[0]!.listening.reject(new Error('Connection terminated'));
    scene.clients[0]!.terminate();
    await settle();
    expect(scene.lost).toHaveLength(1);
  });

  it('fails the attempt at once when the connection is lost before LISTEN is answered', async () => {
    const scene = new Scene();
    scene.next = (client) => (client.ending.resolve(), client.connecting.resolve());
    const started = scene.listener.start();
    const failed = expect(started).rejects.toThrow('terminating connection');
    await settle();
    scene.last.terminate();
    await failed;
    scene.last.listening.resolve();
    await settle();
    expect([scene.listener.state, scene.listenings, scene.lost.length]).toEqual(['connecting', 0, 1]);
  });
});

describe('SelfHealingListener: start and stop', () => {
  it('starts once, and every caller of start() learns how that went', async () => {
    const scene = new Scene();
    const both = Promise.all([scene.listener.start(), scene.listener.start()]);
    expect(scene.listener.state).toBe('connecting');
    await both;
    await scene.listener.start();
    expect(scene.clients).toHaveLength(1);
    const other = new Scene();
    other.next = (client) => void client.refusing();
    await Promise.all([1, 2].map(() => expect(other.listener.start()).rejects.toThrow('ECONNREFUSED')));
    expect(other.clients).toHaveLength(1);
  });

  it('never starts after a stop', async () => {
    const scene = new Scene();
    await scene.listener.stop();
    await scene.listener.start();
    expect([scene.clients.length, scene.listener.state]).toEqual([0, 'stopped']);
  });

  it('stopped while connecting, lets start() go and ends the client, now and when it connects after all', async () => {
    const scene = new Scene();
    scene.next = (client) => client.ending.resolve();
    const started = scene.listener.start();
    await scene.listener.stop();
    // pg never settles this connect(); another driver may.
    await started;
    scene.last.connecting.resolve();
    await settle();
    expect(scene.last.calls).toEqual(['connect', 'end', 'end']);
    expect([scene.listener.state, scene.listenings, scene.lost]).toEqual(['stopped', 0, []]);
  });

  it('stopped between connecting and LISTEN, sends no LISTEN', async () => {
    const scene = new Scene();
    scene.next = (client) => client.ending.resolve();
    const started = scene.listener.start();
    scene.last.connecting.resolve();
    const stopped = scene.listener.stop();
    await Promise.all([started, stopped]);
    expect(scene.last.calls.filter((call) => call.startsWith('LISTEN'))).toEqual([]);
    expect(scene.last.ends).toBeGreaterThan(0);
  });

  it('stopped while LISTEN is on its way, does not say that it listens', async () => {
    const scene = new Scene();
    scene.next = (client) => (client.ending.resolve(), client.connecting.resolve());
    const started = scene.listener.start();
    await settle();
    const stopped = scene.listener.stop();
    scene.last.listening.resolve();
    await Promise.all([started, stopped]);
    await settle();
    expect([scene.listenings, scene.listener.state, scene.last.ends]).toEqual([0, 'stopped', 1]);
  });

  it('stopped during a back-off, leaves no timer', async () => {
    const scene = new Scene();
    await scene.listener.start();
    scene.last.terminate();
    await settle();
    await scene.listener.stop();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('stopped in onLost or onListening, does nothing more', async () => {
    const scene = new Scene({ onLost: () => void scene.listener.stop() });
    await scene.listener.start();
    scene.last.terminate();
    await pass(60_000);
    const other = new Scene({ onListening: () => void other.listener.stop() });
    await other.listener.start();
    await pass(60_000);
    expect([scene.clients.length, other.clients.length, other.last.ends]).toEqual([1, 1, 1]);
  });

  it('stops within a second on a dead path, and destroys the socket', async () => {
    const scene = new Scene();
    scene.next = (client) => (client.connecting.resolve(), client.listening.resolve());
    await scene.listener.start();
    const stopped = jest.fn();
    void scene.listener.stop().then(stopped);
    void scene.listener.stop().then(stopped);
    await pass(999);
    expect(stopped).not.toHaveBeenCalled();
    await pass(1);
    expect(stopped).toHaveBeenCalledTimes(2);
    expect(scene.last.calls).toEqual(['connect', 'LISTEN "Runs"', 'end', 'destroy']);
  });

  it('waits in stop() for clients that are on their way out since an earlier loss', async () => {
    const scene = new Scene();
    scene.next = (client) => (client.connecting.resolve(), client.listening.resolve());
    await scene.listener.start();
    scene.last.terminate();
    const stopped = jest.fn();
    void scene.listener.stop().then(stopped);
    await settle();
    expect(stopped).not.toHaveBeenCalled();
    scene.last.ending.resolve();
    await settle();
    expect(stopped).toHaveBeenCalled();
  });

  it.each<[string, (client: FakeClient) => void]>([
    ['rejects', (client) => client.ending.reject(new Error('not connected'))],
    [
      'throws',
      (client) => {
        client.end = () => {
          throw new Error('not connected');
        };
      },
    ],
  ])('does not mind an end() that %s', async (_how, behave) => {
    const scene = new Scene();
    scene.next = (client) => {
      client.connecting.resolve();
      client.listening.resolve();
      behave(client);
    };
    await scene.listener.start();
    await expect(scene.listener.stop()).resolves.toBeUndefined();
  });

  it('leaves nothing behind, whenever it is stopped and whatever its clients do', async () => {
    const steps = fc.array(
      fc.constantFrom('connect', 'refuse', 'listen', 'reject', 'terminate', 'end', 'wait', 'wait long', 'ended'),
      { maxLength: 25 },
    );
    await fc.assert(
      fc.asyncProperty(steps, fc.nat({ max: 25 }), async (events, stopAt) => {
        const scene = new Scene();
        scene.next = () => undefined;
        const started = scene.listener.start().catch(() => undefined);
        let stopping: Promise<void> | undefined;
        for (const [i, event] of [...events, 'last'].entries()) {
          if (i === stopAt) stopping = scene.listener.stop();
          if (event === 'connect') scene.last.connecting.resolve();
          else if (event === 'refuse') scene.last.connecting.reject(new Error('refused'));
          else if (event === 'listen') scene.last.listening.resolve();
          else if (event === 'reject') scene.last.listening.reject(new Error('rejected'));
          else if (event === 'terminate') scene.last.terminate();
          else if (event === 'end') scene.last.emit('end');
          else if (event === 'ended') scene.last.ending.resolve();
          else if (event === 'wait') await pass(100);
          else if (event === 'wait long') await pass(40_000);
          if (i % 2 === 0) await settle();
          const alive = scene.clients.filter((client) => client.ends === 0);
          expect(alive.length).toBeLessThanOrEqual(stopping === undefined ? 1 : 0);
        }
        stopping ??= scene.listener.stop();
        await pass(1_000);
        await Promise.all([stopping, started]);
        const count = scene.clients.length;
        await pass(120_000);
        expect([scene.clients.length, jest.getTimerCount(), scene.listener.state]).toEqual([count, 0, 'stopped']);
        for (const client of scene.clients) expect(client.ends).toBeGreaterThan(0);
      }),
      { numRuns: 300 },
    );
  });
});

describe('SelfHealingListener: notifications', () => {
  it('passes on the payloads of its channel only, an absent one as an empty text', async () => {
    const scene = new Scene();
    await scene.listener.start();
    scene.last.notify('Runs', 'a');
    scene.last.notify('runs', 'b');
    scene.last.notify('other', 'c');
    scene.last.notify('Runs');
    expect(scene.payloads).toEqual(['a', '']);
  });

  it('passes on nothing after stop', async () => {
    const scene = new Scene();
    await scene.listener.start();
    await scene.listener.stop();
    scene.last.notify('Runs', 'late');
    expect(scene.payloads).toEqual([]);
  });

  it('keeps callbacks that throw or reject away from the socket, and listens on', async () => {
    const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const boom = (): never => {
      throw new Error('boom');
    };
    const scene = new Scene({
      onNotification: (() => Promise.reject(new Error('boom'))) as unknown as () => void,
      onListening: boom,
      onLost: boom,
    });
    await scene.listener.start();
    scene.last.notify('Runs', 'a');
    scene.last.terminate();
    await pass(250);
    expect(scene.listener.state).toBe('listening');
    expect(warn.mock.calls.map(([text]) => text)).toEqual([
      'onListening of a listener failed: boom',
      'onLost of a listener failed: boom',
      'onNotification of a listener failed: boom',
      'onListening of a listener failed: boom',
    ]);
    warn.mockRestore();
  });

  it.each(['', 'x'.repeat(64), 'ä'.repeat(32)])('refuses the channel %p, which Postgres refuses or cuts', (channel) => {
    expect(() => new Scene({ channel })).toThrow(expect.objectContaining({ code: 'OPTIONS_INVALID' }));
  });

  it('quotes its channel', async () => {
    const scene = new Scene({ channel: 'a"b' });
    await scene.listener.start();
    expect(scene.last.calls).toContain('LISTEN "a""b"');
  });
});

/** What a nonce comes to: heard at once, committed and heard by nobody, refused, or not answered. */
type Path = 'heard' | 'swallowed' | 'refused' | 'hanging';

class EchoScene {
  path: Path = 'heard';
  readonly nonces: string[] = [];
  readonly hanging: ((error: unknown) => void)[] = [];
  readonly scene: Scene;

  constructor(options: Partial<SelfHealingListenerOptions> = {}) {
    this.scene = new Scene({ echo: { send: (nonce) => this.send(nonce) }, ...options });
  }

  get state(): unknown[] {
    const { listener, clients } = this.scene;
    return [listener.state, listener.isDeaf, clients.length];
  }

  private send(nonce: string): Promise<void> {
    this.nonces.push(nonce);
    if (this.path === 'hanging') return new Promise((_, reject) => this.hanging.push(reject));
    if (this.path === 'refused') return Promise.reject(new Error('no connection for it'));
    if (this.path === 'heard') this.scene.last.notify('Runs', nonce);
    return Promise.resolve();
  }
}

describe('SelfHealingListener: with an echo', () => {
  const INTERVAL = 4_400; // 4 s and a tenth, with the highest chance
  const MISSES = 4_002; // two of 2 s, and a turn of the loop each

  it('listens from the first echo on, and tells no echo to anybody', async () => {
    const echo = new EchoScene();
    const { scene } = echo;
    echo.path = 'swallowed';
    const started = scene.listener.start();
    await pass(1_000);
    expect([scene.last.calls, echo.nonces.length]).toEqual([['connect', 'LISTEN "Runs"'], 1]);
    expect([scene.listener.state, scene.listener.isProven, scene.listenings]).toEqual(['connecting', false, 0]);
    scene.last.notify('Runs', echo.nonces[0]);
    await started;
    expect([scene.listener.state, scene.listener.isProven, scene.listenings]).toEqual(['listening', true, 1]);
    expect(scene.payloads).toEqual([]);
  });

  it('starts at 250 ms again after the first echo, and not after a LISTEN that hears nothing', async () => {
    const echo = new EchoScene();
    const { scene } = echo;
    await scene.listener.start();
    scene.next = (client) => void client.refusing();
    scene.last.terminate();
    await pass(250 + 500);
    echo.path = 'swallowed';
    scene.next = (client) => void client.willing();
    await pass(1_000 + MISSES);
    const heard = scene.clients.length;
    await pass(1_999);
    expect(scene.clients).toHaveLength(heard);
    echo.path = 'heard';
    await pass(1);
    expect([scene.clients.length, scene.listener.state]).toEqual([heard + 1, 'listening']);
    scene.last.terminate();
    await pass(250);
    expect([scene.clients.length, scene.listener.state]).toEqual([heard + 2, 'listening']);
  });

  it('closes a connection after two misses, one behind another, and makes another', async () => {
    const echo = new EchoScene();
    const { scene } = echo;
    await scene.listener.start();
    echo.path = 'swallowed';
    await pass(INTERVAL + MISSES - 1);
    expect([...echo.state, scene.last.ends]).toEqual(['listening', false, 1, 0]);
    echo.path = 'heard';
    await pass(1);
    expect([...echo.state, scene.last.ends]).toEqual(['connecting', false, 1, 1]);
    expect(scene.lost).toEqual([expect.stringContaining('hears nothing')]);
    await pass(250);
    expect(echo.state).toEqual(['listening', false, 2]);
    expect(scene.listenings).toBe(2);
  });

  it('keeps a connection that misses one echo now and then', async () => {
    const echo = new EchoScene();
    await echo.scene.listener.start();
    for (let round = 0; round < 5; round++) {
      echo.path = 'swallowed';
      for (const { length } = echo.nonces; echo.nonces.length === length;) await pass(100);
      echo.path = 'heard';
      await pass(2_500);
    }
    expect(echo.nonces).toHaveLength(1 + 5 * 2);
    expect([echo.state, echo.scene.lost]).toEqual([['listening', false, 1], []]);
  });

  it('is deaf when fresh connections hear nothing, and after three of them tries again every 30 s, until one hears', async () => {
    const echo = new EchoScene();
    const { scene } = echo;
    echo.path = 'swallowed';
    const failed = expect(scene.listener.start()).rejects.toThrow('hears nothing');
    await pass(MISSES);
    await failed;
    expect(echo.state).toEqual(['connecting', true, 1]);
    await pass(250 + MISSES + 500 + MISSES);
    expect(echo.state).toEqual(['connecting', true, 3]);
    for (let count = 3; count < 6; count++) {
      await pass(29_999);
      expect(scene.clients).toHaveLength(count);
      await pass(1);
      expect(scene.clients).toHaveLength(count + 1);
      await pass(MISSES);
      expect(scene.listener.isDeaf).toBe(true);
    }
    echo.path = 'heard';
    await pass(30_000);
    expect(echo.state).toEqual(['listening', false, 7]);
    scene.last.terminate();
    await pass(250);
    expect(echo.state).toEqual(['listening', false, 8]);
  });

  it('takes a nonce that cannot be sent for no miss: it stays, unproven', async () => {
    const echo = new EchoScene();
    const { scene } = echo;
    await scene.listener.start();
    for (const path of ['refused', 'hanging'] as const) {
      echo.path = path;
      await pass(10 * 60_000);
      expect([echo.state, scene.lost]).toEqual([['listening', false, 1], []]);
      expect(scene.listener.isProven).toBe(false);
    }
  });

  it('is proven again by the nonce that comes through', async () => {
    const echo = new EchoScene();
    await echo.scene.listener.start();
    echo.path = 'refused';
    await pass(60_000);
    expect(echo.scene.listener.isProven).toBe(false);
    echo.path = 'heard';
    await pass(500);
    expect(echo.scene.listener.isProven).toBe(true);
  });

  it('gives up an attempt in which no nonce can be sent, with the reason, and is not deaf', async () => {
    const echo = new EchoScene();
    const { scene } = echo;
    echo.path = 'refused';
    const failed = expect(scene.listener.start()).rejects.toMatchObject({
      message: 'LISTEN was not active within 10000 ms',
      cause: { message: 'no connection for it' },
    });
    await pass(10_000);
    await failed;
    expect(echo.state).toEqual(['connecting', false, 1]);
    echo.path = 'heard';
    await pass(250);
    expect(echo.state).toEqual(['listening', false, 2]);
  });

  it.each<[string, (echo: EchoScene) => string]>([
    ['of somebody else', () => 'baton-echo:somebody:1'],
    ['of its connection before', (echo) => echo.nonces[0]!],
  ])('is proven by no nonce %s', async (_whose, nonceOf) => {
    const echo = new EchoScene();
    const { scene } = echo;
    await scene.listener.start();
    scene.last.terminate();
    echo.path = 'swallowed';
    await pass(250);
    for (let second = 1; second <= 4; second++) {
      scene.last.notify('Runs', nonceOf(echo));
      await pass(1_000);
      expect([echo.state, scene.payloads]).toEqual([['connecting', false, 2], []]);
    }
    await pass(2);
    expect(echo.state).toEqual(['connecting', true, 2]);
  });

  it('leaves nothing behind, whenever it is stopped and whatever becomes of its nonces', async () => {
    const paths: readonly Path[] = ['heard', 'swallowed', 'refused', 'hanging'];
    const kinds = fc.constantFrom<Path | 'wait' | 'wait long' | 'terminate' | 'late echo'>(
      ...paths,
      'wait',
      'wait long',
      'terminate',
      'late echo',
    );
    const steps = fc.array(kinds, { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(steps, fc.nat({ max: 20 }), fc.constantFrom(...paths), async (events, stopAt, first) => {
        const echo = new EchoScene();
        const { scene } = echo;
        echo.path = first;
        const started = scene.listener.start().catch(() => undefined);
        let stopping: Promise<void> | undefined;
        for (const [i, event] of [...events, 'last' as const].entries()) {
          if (i === stopAt) stopping = scene.listener.stop();
          if (event === 'terminate') scene.last.terminate();
          else if (event === 'late echo') scene.last.notify('Runs', echo.nonces.at(-1));
          else if (event === 'wait') await pass(700);
          else if (event === 'wait long') await pass(5_000);
          else if (event !== 'last') echo.path = event;
          if (i % 2 === 0) await settle();
          const alive = scene.clients.filter((client) => client.ends === 0);
          expect(alive.length).toBeLessThanOrEqual(stopping === undefined ? 1 : 0);
        }
        stopping ??= scene.listener.stop();
        await pass(1_000);
        await Promise.all([stopping, started]);
        // As when their connection is closed after the listener.
        for (const refuse of echo.hanging) refuse(new Error('closed'));
        const [clients, nonces] = [scene.clients.length, echo.nonces.length];
        await pass(120_000);
        expect([scene.clients.length, echo.nonces.length, jest.getTimerCount()]).toEqual([clients, nonces, 0]);
        expect([scene.listener.state, scene.listener.isProven]).toEqual(['stopped', false]);
      }),
      { numRuns: 300 },
    );
  });

  it.each(['onEcho', 'onListening'])('can be stopped by its own %s', async (hook) => {
    const stop = (): void => void echo.scene.listener.stop();
    const send = (nonce: string): Promise<void> => {
      echo.scene.last.notify('Runs', nonce);
      return Promise.resolve();
    };
    const echo: EchoScene = new EchoScene(
      hook === 'onEcho' ? { echo: { send, onEcho: stop } } : { echo: { send }, onListening: stop },
    );
    await echo.scene.listener.start();
    await pass(60_000);
    expect([...echo.state, echo.scene.last.ends, jest.getTimerCount()]).toEqual(['stopped', false, 1, 1, 0]);
  });
});
