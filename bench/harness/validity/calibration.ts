import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startProcess } from '@nest-baton/testing';
import { median } from '../measuring/spread.js';
import type { MachineSpeed } from './reference-figure.js';

const ROUNDS = 5;
const ROUND_MS = 200;
const BLOCK_BYTES = 8192;

/** Measures the machine itself, without anything of ours or of a peer: what a run can be compared by with one on another machine or day. */
export async function measureMachine(): Promise<MachineSpeed> {
  const cpu = median(Array.from({ length: ROUNDS }, serialisingPerSecond));
  const fsync = median(syncsPerSecond());
  const loopback = median(await echoesPerSecond());
  return { cpu, fsync, loopback };
}

/** Two measures of one run, from before and after it: the machine of the run was somewhere between them. */
export function betweenOf(before: MachineSpeed, after: MachineSpeed): MachineSpeed {
  const between = (part: keyof MachineSpeed): number => Math.sqrt(before[part] * after[part]);
  return { cpu: between('cpu'), fsync: between('fsync'), loopback: between('loopback') };
}

function serialisingPerSecond(): number {
  const hash = createHash('sha256');
  const message = 'x'.repeat(150);
  return perSecond(() => {
    for (let id = 0; id < 100; id++)
      hash.update(JSON.stringify({ id, level: 'info', service: 'calibration', message }));
    return 100;
  });
}

function syncsPerSecond(): readonly number[] {
  const folder = mkdtempSync(join(tmpdir(), 'baton-bench-'));
  const file = openSync(join(folder, 'calibration'), 'w');
  const block = Buffer.alloc(BLOCK_BYTES, 1);
  try {
    return Array.from({ length: ROUNDS }, () =>
      perSecond(() => {
        writeSync(file, block, 0, BLOCK_BYTES, 0);
        fdatasyncSync(file);
        return 1;
      }),
    );
  } finally {
    closeSync(file);
    rmSync(folder, { recursive: true, force: true });
  }
}

async function echoesPerSecond(): Promise<readonly number[]> {
  const server = await startProcess({ entry: fileURLToPath(new URL('./echo-server.mjs', import.meta.url)) });
  const port = Number((await server.waitForLine(/^\d+$/)).trim());
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  try {
    await once(socket, 'connect');
    const rounds: number[] = [];
    for (let round = 0; round < ROUNDS; round++) rounds.push(await echoRound(socket));
    return rounds;
  } finally {
    socket.destroy();
    await server.stop();
  }
}

function echoRound(socket: Socket): Promise<number> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    let count = 0;
    const onData = (): void => {
      count++;
      const elapsedMs = performance.now() - startedAt;
      if (elapsedMs < ROUND_MS) return void socket.write('x');
      socket.off('data', onData).off('error', reject);
      resolve((count / elapsedMs) * 1000);
    };
    socket.on('data', onData).once('error', reject);
    socket.write('x');
  });
}

function perSecond(work: () => number): number {
  const startedAt = performance.now();
  for (let done = work(); ; done += work()) {
    const elapsedMs = performance.now() - startedAt;
    if (elapsedMs >= ROUND_MS) return (done / elapsedMs) * 1000;
  }
}
