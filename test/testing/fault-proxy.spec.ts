import { once } from 'node:events';
import { connect } from 'node:net';
import {
  ClusterFaultProxy,
  FaultProxy,
  type FaultProxyOptions,
  freePort,
  StallMeter,
  waitFor,
} from '@nest-baton/testing';
import { type RawEnd, RawServer } from './support/raw-server.js';

const KIBIBYTE = 1024;

describe('a path of a FaultProxy', () => {
  let server: RawServer;
  let proxy: FaultProxy;

  beforeEach(async () => {
    server = await RawServer.start();
    proxy = await FaultProxy.start({ target: server.address });
  });

  afterEach(async () => {
    await proxy.stop();
    await server.stop();
  });

  async function pair(): Promise<{ client: RawEnd; remote: RawEnd }> {
    const count = server.ends.length;
    const client = await server.client(proxy.port);
    await waitFor(() => server.ends.length > count, { description: 'the server to be reached' });
    return { client, remote: server.ends[count] as RawEnd };
  }

  const came = (end: RawEnd, text: string) =>
    waitFor(() => end.text === text, { description: `"${text}" to come, not "${end.text}"` });
  const isReset = (end: RawEnd) => waitFor(() => end.errorCode === 'ECONNRESET', { description: 'a reset' });
  const isEnded = (end: RawEnd) => waitFor(() => end.hasEnded, { description: 'an end' });

  describe('without a fault', () => {
    it('passes bytes both ways and counts them', async () => {
      const { client, remote } = await pair();
      client.socket.write('question');
      await came(remote, 'question');
      remote.socket.write('the answer');
      await came(client, 'the answer');
      expect(proxy.counts).toEqual({
        accepted: 1,
        open: 1,
        passed: { toServer: 8, toClient: 10 },
        swallowed: { toServer: 0, toClient: 0 },
      });
      expect(proxy.connections[0]?.passed).toEqual({ toServer: 8, toClient: 10 });
    });

    it('passes a half-close on and leaves the way back open', async () => {
      const { client, remote } = await pair();
      client.socket.end('last words');
      await isEnded(remote);
      expect(client.isUntouched).toBe(true);
      remote.socket.end('the answer');
      await isEnded(client);
      expect(client.text).toBe('the answer');
      await waitFor(() => proxy.connections.length === 0, { description: 'the connection to be over' });
    });

    it('passes a reset on', async () => {
      const { client, remote } = await pair();
      client.socket.resetAndDestroy();
      await isReset(remote);
      const second = await pair();
      second.remote.socket.resetAndDestroy();
      await isReset(second.client);
      await waitFor(() => proxy.connections.length === 0, { description: 'both connections to be over' });
    });

    it('makes a fast sender wait for a slow receiver', async () => {
      const { client, remote } = await pair();
      client.socket.pause();
      const piece = Buffer.alloc(256 * KIBIBYTE, 'x');
      const total = 64 * 1024 * KIBIBYTE;
      let sent = 0;
      while (sent < total && remote.socket.write(piece)) sent += piece.length;
      const isDrained = once(remote.socket, 'drain').then(() => true);
      // Far more than the kernel's buffers and the proxy's 256 KiB hold.
      for (; sent < total; sent += piece.length) remote.socket.write(piece);
      await waitFor(() => proxy.counts.passed.toClient > 0, { description: 'the first bytes' });
      let before = -1;
      await waitFor(
        async () => {
          const now = proxy.counts.passed.toClient;
          const isStill = now === before;
          before = now;
          await new Promise((resolve) => setTimeout(resolve, 100));
          return isStill;
        },
        { description: 'the proxy to stop taking' },
      );
      expect(before).toBeLessThan(total / 2);
      client.socket.removeAllListeners('data');
      client.socket.resume();
      await isDrained;
      await waitFor(() => proxy.counts.passed.toClient >= total, { description: 'the rest' });
    });

    it('resets a client whose server is not there', async () => {
      const { port } = server.address;
      await server.stop();
      const nowhere = await RawServer.start();
      await proxy.stop();
      proxy = await FaultProxy.start({ target: { host: '127.0.0.1', port } });
      const client = await nowhere.client(proxy.port);
      await isReset(client);
      await nowhere.stop();
    });
  });

  describe('cut', () => {
    it('by a reset tells both sides at once', async () => {
      const { client, remote } = await pair();
      proxy.cut();
      await Promise.all([isReset(client), isReset(remote)]);
      const again = await pair();
      again.client.socket.write('a new one works');
      await came(again.remote, 'a new one works');
    });

    it('by an end lets both sides read to the end, and no byte more', async () => {
      const { client, remote } = await pair();
      proxy.cut({ kind: 'end' });
      await Promise.all([isEnded(client), isEnded(remote)]);
      expect([client.errorCode, remote.errorCode]).toEqual([undefined, undefined]);
      client.socket.write('too late');
      client.socket.end();
      remote.socket.end();
      await waitFor(() => proxy.connections.length === 0, { description: 'the connection to be over' });
      expect(remote.text).toBe('');
    });

    it('on one side leaves the other in the belief that all is well', async () => {
      const { client, remote } = await pair();
      proxy.cut({ direction: 'toServer' });
      await isReset(remote);
      client.socket.write('anybody there?');
      await waitFor(() => proxy.counts.swallowed.toServer === 14, { description: 'the question to be lost' });
      expect(client.isUntouched).toBe(true);
      await proxy.heal();
      await isReset(client);
    });

    it('of one connection leaves the others alone', async () => {
      const [one, two] = [await pair(), await pair()];
      proxy.connections[0]?.cut();
      await isReset(one.client);
      two.client.socket.write('still here');
      await came(two.remote, 'still here');
    });
  });

  describe('as a black hole', () => {
    it('swallows bytes, ends and resets, tells nobody, and resets what lost bytes when it heals', async () => {
      const { client, remote } = await pair();
      const untouched = await pair();
      proxy.blackHole();
      client.socket.write('hello?');
      remote.socket.end('hello?');
      await waitFor(() => proxy.counts.swallowed.toServer === 6 && proxy.counts.swallowed.toClient === 6, {
        description: 'both to be swallowed',
      });
      await waitFor(() => proxy.connections[0]?.isServerOpen === false, { description: 'the end to reach the proxy' });
      expect([client.isUntouched, client.text, remote.text]).toEqual([true, '', '']);
      await proxy.heal();
      await isReset(client);
      untouched.client.socket.write('nothing was lost here');
      await came(untouched.remote, 'nothing was lost here');
    });

    it('in one direction lets the other pass', async () => {
      const { client, remote } = await pair();
      proxy.blackHole('toClient');
      client.socket.write('heard');
      await came(remote, 'heard');
      remote.socket.write('not heard');
      await waitFor(() => proxy.counts.swallowed.toClient === 9, { description: 'the answer to be swallowed' });
      expect(client.text).toBe('');
    });

    it.each([
      ['hangs', 'hang'],
      ['is connected through and swallowed', 'connect'],
    ] as const)('a new client %s', async (_what, newConnections) => {
      proxy.blackHole({ newConnections });
      const client = await server.client(proxy.port);
      client.socket.write('hello?');
      await waitFor(() => proxy.counts.swallowed.toServer === 6, { description: 'it to be swallowed' });
      if (newConnections === 'connect')
        await waitFor(() => server.ends.length === 1, { description: 'the server to be reached' });
      expect([server.ends.length, client.isUntouched]).toEqual([newConnections === 'hang' ? 0 : 1, true]);
      expect(proxy.counts.open).toBe(1);
      await proxy.heal();
      await isReset(client);
      await waitFor(() => proxy.counts.open === 0, { description: 'it to be gone' });
    });

    it('a new client is refused where that was asked for, and taken again on the same port', async () => {
      const { client } = await pair();
      proxy.blackHole({ newConnections: 'refuse' });
      await expect(server.client(proxy.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
      expect(client.isUntouched).toBe(true);
      await proxy.heal();
      const again = await pair();
      again.client.socket.write('welcome back');
      await came(again.remote, 'welcome back');
    });

    it('can begin with a piece that went by', async () => {
      const watched: string[] = [];
      const watch: FaultProxyOptions['watch'] = ({ bytes, direction, connection }) => {
        watched.push(`${direction} ${bytes.toString()}`);
        if (bytes.includes('LISTEN')) connection.blackHole();
      };
      const own = await FaultProxy.start({ target: server.address, watch });
      const client = await server.client(own.port);
      client.socket.write('BEGIN');
      await waitFor(() => server.ends[0]?.text === 'BEGIN', { description: 'the first to pass' });
      client.socket.write('LISTEN');
      await waitFor(() => own.counts.swallowed.toServer === 6, { description: 'the second to be swallowed' });
      expect(watched).toEqual(['toServer BEGIN', 'toServer LISTEN']);
      expect(server.ends[0]?.text).toBe('BEGIN');
      await own.stop();
    });
  });

  it('stalled, delivers everything late and in order when it heals, the end too', async () => {
    const { client, remote } = await pair();
    proxy.stall('toServer');
    client.socket.write('one ');
    client.socket.write('two ');
    client.socket.end('three');
    await waitFor(() => proxy.connections[0]?.isClientOpen === false, { description: 'all to be in the proxy' });
    expect([remote.text, remote.hasEnded]).toEqual(['', false]);
    remote.socket.write('the other way is open');
    await came(client, 'the other way is open');
    await proxy.heal();
    await isEnded(remote);
    expect(remote.text).toBe('one two three');
  });

  describe('delayed', () => {
    it('takes at least so long in that direction, keeps the order, and is quick again when it heals', async () => {
      const { client, remote } = await pair();
      proxy.delay(150, 'toServer');
      const sent = performance.now();
      client.socket.write('one ');
      remote.socket.write('undelayed');
      await came(client, 'undelayed');
      expect(remote.text).toBe('');
      proxy.delay(50, 'toServer');
      client.socket.end('two');
      await isEnded(remote);
      expect(remote.text).toBe('one two');
      expect((remote.firstByteAt ?? 0) - sent).toBeGreaterThanOrEqual(149);
      const second = await pair();
      proxy.delay(60_000);
      second.client.socket.write('waits for a minute');
      await waitFor(() => proxy.connections.length === 2, { description: 'both connections' });
      expect(second.remote.text).toBe('');
      await proxy.heal();
      await came(second.remote, 'waits for a minute');
    });
  });

  it('throttled, passes about as many bytes a second as were allowed', async () => {
    proxy.throttle(200_000, 'toClient');
    const { client, remote } = await pair();
    const started = performance.now();
    remote.socket.end(Buffer.alloc(100_000));
    await isEnded(client);
    const seconds = (performance.now() - started) / 1000;
    expect(client.received.length).toBe(100_000);
    // The first slice of 50 ms passes at once.
    expect(seconds).toBeGreaterThan(0.44);
    expect(seconds).toBeLessThan(1.5);
  });

  it.each([
    ['end', 'toClient'],
    ['reset', 'toClient'],
    ['end', 'toServer'],
    ['reset', 'toServer'],
  ] as const)('truncated by %s %s, delivers exactly so many bytes and cuts both sides', async (kind, direction) => {
    proxy.truncate(70_000, { direction, kind });
    for (const _ of [1, 2]) {
      const { client, remote } = await pair();
      const [sender, receiver] = direction === 'toClient' ? [remote, client] : [client, remote];
      sender.socket.write(Buffer.alloc(50_000));
      await waitFor(() => receiver.received.length === 50_000, { description: 'the first bytes' });
      sender.socket.write(Buffer.alloc(50_000));
      await (kind === 'end' ? isEnded(sender) : isReset(sender));
      // libuv makes an end of a reset that comes together with bytes.
      await waitFor(() => !receiver.isUntouched, { description: 'the receiver to be cut off' });
      expect(receiver.received.length).toBe(70_000);
    }
    expect(proxy.counts.passed[direction]).toBe(140_000);
  });

  it('lets nothing pass when it is truncated after 0 bytes, and does not cut before there is something', async () => {
    const { client, remote } = await pair();
    proxy.connections[0]?.truncate(0);
    client.socket.write('question');
    await came(remote, 'question');
    expect(client.isUntouched).toBe(true);
    remote.socket.write('answer');
    await isEnded(client);
    expect(client.text).toBe('');
  });

  it('refuses new connections, keeps the open ones, and takes new ones again when it heals', async () => {
    const { client, remote } = await pair();
    proxy.refuse();
    await expect(server.client(proxy.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    client.socket.write('still open');
    await came(remote, 'still open');
    await proxy.heal();
    await pair();
  });

  it('stops within a moment whatever is open, hanging, stalled or waiting, twice, and frees its port', async () => {
    const stalled = await pair();
    proxy.connections[0]?.stall();
    stalled.client.socket.write('x');
    proxy.connections[0]?.delay(60_000);
    const full = await pair();
    full.client.socket.pause();
    full.remote.socket.write(Buffer.alloc(8 * 1024 * KIBIBYTE));
    proxy.blackHole();
    const hanging = await server.client(proxy.port);
    const stalls = StallMeter.start();
    const started = performance.now();
    await proxy.stop();
    await proxy.stop();
    expect(performance.now() - started).toBeLessThan(1000 + stalls.stop());
    expect(proxy.counts.open).toBe(0);
    await Promise.all([isReset(stalled.client), isReset(hanging)]);
    await expect(server.client(proxy.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('stops in the moment in which an end is on its way', async () => {
    await pair();
    proxy.cut({ kind: 'end' });
    await proxy.stop();
    expect(proxy.connections).toEqual([]);
  }, 3_000);

  it('leaves no socket and no timer behind', async () => {
    const before = process.getActiveResourcesInfo().filter((name) => name !== 'Immediate').length;
    const own = await FaultProxy.start({ target: server.address });
    own.delay(60_000);
    own.throttle(1);
    const clients = await Promise.all([1, 2, 3].map(() => server.client(own.port)));
    for (const { socket } of clients) socket.write('waits');
    await waitFor(() => server.ends.length === 3, { description: 'all to be connected' });
    await own.stop();
    for (const { socket } of [...clients, ...server.ends]) socket.destroy();
    await waitFor(() => process.getActiveResourcesInfo().filter((name) => name !== 'Immediate').length <= before, {
      description: 'the resources of before',
    });
  });

  it('listens where it was told, and gives the target’s URL back with itself in it', async () => {
    const port = await freePort();
    const own = await FaultProxy.start({ target: 'postgres://me:secret@localhost/db?sslmode=disable', port });
    expect([own.port, own.url]).toEqual([port, `postgres://me:secret@127.0.0.1:${port}/db?sslmode=disable`]);
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.destroy();
    await own.stop();
  });

  it('takes the last word of whether it refuses, also while an older one is carried out', async () => {
    proxy.refuse();
    const healed = proxy.heal();
    proxy.refuse();
    await healed;
    await expect(server.client(proxy.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await Promise.all([proxy.heal(), proxy.heal()]);
    await pair();
  });

  it.each(['localhost:5432', 'tcp://127.0.0.1', 'redis:///0'])(
    'refuses %s as a target, which is no place',
    async (target) => {
      await expect(FaultProxy.start({ target })).rejects.toThrow(RangeError);
    },
  );

  it('before each node of a cluster, leaves none when one of them cannot be', async () => {
    const started: number[] = [];
    const nodes = [server.address, { host: '', port: 1 }].map((address) => ({
      ...address,
      get port() {
        started.push(address.port);
        return address.port;
      },
    }));
    const before = process.getActiveResourcesInfo().filter((name) => name === 'TCPServerWrap').length;
    await expect(ClusterFaultProxy.start({ nodes })).rejects.toThrow();
    expect(started).toContain(server.address.port);
    const left = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPServerWrap').length;
    await waitFor(() => left() <= before, { description: 'the first path is closed', timeoutMs: 2_000 });
  });

  it('refuses faults that are none', () => {
    expect(() => proxy.delay(-1)).toThrow('A delay is a number of milliseconds from 0 on, not -1.');
    expect(() => proxy.throttle(0)).toThrow('stall() lets nothing pass');
    expect(() => proxy.truncate(1.5)).toThrow('a whole number from 0 on, not 1.5');
  });
});
