import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { errorCode, systemRandom } from '@nest-baton/core';
import { BackendFailedError } from '../testing.errors.js';

/** Below the range from which systems take ports for outgoing connections, and low enough for a Redis cluster's second port 10000 above. */
const RANGE = { from: 20_000, size: 12_000 } as const;
/** Where a Redis puts its cluster bus; pairs of ports lie within the range, below the ports of outgoing connections. */
const BUS_OFFSET = 10_000;
const MAX_ATTEMPTS = 200;

const reservations: Server[] = [];

/**
 * A TCP port on 127.0.0.1 that is free now and that no other call gets, in this process or another one, as long as this process lives:
 * each port is reserved by an abstract Unix socket, which the kernel releases with the process. Where those do not exist (not Linux), two
 * processes can get the same port by a chance of 1 in 12000.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const port = RANGE.from + Math.floor(systemRandom() * RANGE.size);
    if ((await reserve(port)) && (await canListen(port))) return port;
  }
  throw new BackendFailedError(`No free port found in ${RANGE.from}-${RANGE.from + RANGE.size - 1}.`);
}

/** A port as `freePort()` gives it, whose second port, 10000 above, is free and reserved too: the cluster bus of a Redis takes it. */
export async function freeClusterPort(): Promise<number> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const port = RANGE.from + Math.floor(systemRandom() * (RANGE.size - BUS_OFFSET));
    const pair = [port, port + BUS_OFFSET];
    if (
      (await Promise.all(pair.map(reserve))).every(Boolean) &&
      (await Promise.all(pair.map(canListen))).every(Boolean)
    )
      return port;
  }
  throw new BackendFailedError(`No pair of free ports found from ${RANGE.from} on.`);
}

async function reserve(port: number): Promise<boolean> {
  if (process.platform !== 'linux') return true;
  const server = createServer().unref();
  try {
    server.listen(`\0baton-testing-port-${port}`);
    await once(server, 'listening');
    reservations.push(server);
    return true;
  } catch (error) {
    return errorCode(error) !== 'EADDRINUSE';
  }
}

async function canListen(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
