import { Socket } from 'node:net';
import { jest } from '@jest/globals';
import { waitFor } from '@nest-baton/testing';
import pg from 'pg';
import { StreamsWorld, textsOf } from '../support/streams-world.js';

let world: StreamsWorld;
beforeAll(async () => void (world = await StreamsWorld.create()));
afterAll(() => world.stop());

/** The local ports of sockets that were told to send keep-alive probes. */
function keptAlivePorts(): ReadonlySet<number> {
  const ports = new Set<number>();
  const { setKeepAlive } = Socket.prototype;
  jest.spyOn(Socket.prototype, 'setKeepAlive').mockImplementation(function (this: Socket, isOn, delayMs) {
    if (isOn === true) ports.add(this.localPort as number);
    return setKeepAlive.call(this, isOn, delayMs);
  });
  return ports;
}

async function connectionsOfOurs() {
  return world.sql<{ name: string; port: number }>(
    `SELECT application_name AS name, client_port AS port FROM pg_stat_activity
     WHERE datname = current_database() AND application_name LIKE 'baton:pg-stream%' ORDER BY 1`,
  );
}

describe('a connection that lies idle', () => {
  afterEach(() => jest.restoreAllMocks());

  it.each(['connectionString', 'pool'] as const)(
    'A32 sends keep-alive probes, for LISTEN and for everything else that is ours, with a %s',
    async (kind) => {
      const ports = keptAlivePorts();
      const pool = new pg.Pool({ connectionString: world.url });
      const streams = await world.service({ hints: 'on', schema: kind, ...(kind === 'pool' && { pool }) });
      await streams.append('s', 'a');
      await textsOf(streams.read('s', { live: false }));
      const expected = ['baton:pg-stream:listen', 'baton:pg-stream:notify', 'baton:pg-stream:write'];
      if (kind === 'connectionString') expected.unshift('baton:pg-stream');
      const names = async () => [...new Set((await connectionsOfOurs()).map(({ name }) => name))];
      await waitFor(async () => (await names()).length === expected.length, { description: 'all connections' });
      expect(await names()).toEqual(expected);
      for (const { name, port } of await connectionsOfOurs()) expect([name, ports.has(port)]).toEqual([name, true]);
      await streams.beforeApplicationShutdown();
      await streams.onApplicationShutdown();
      await pool.end();
      await waitFor(async () => (await connectionsOfOurs()).length === 0, { description: 'them to be gone' });
    },
  );
});
