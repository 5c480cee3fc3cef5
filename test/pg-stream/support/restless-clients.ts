import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:net';
import type { Random } from '@nest-baton/core';
import { randomPick } from '@nest-baton/testing';

/** Where a client leaves: before it has asked, while its id is looked up, before or while history comes, or while it waits. */
type Leaving = 'connected' | 'asking' | 'asked' | 'bytes' | 'waiting';

const WAYS: readonly Leaving[] = ['connected', 'asking', 'asked', 'bytes', 'waiting'];

export interface RestlessOptions {
  readonly port: number;
  readonly random: Random;
  readonly clients: number;
  /** On average, over the whole time. */
  readonly perMinute: number;
  readonly paths: readonly string[];
  /** Ids that clients of the first path may have. */
  readonly cursors: readonly string[];
}

/** Connects and leaves, at places and moments that follow from `random`; returns when the last one has left, with what each came to. */
export async function comeAndGo(options: RestlessOptions): Promise<Record<Leaving, number>> {
  const { clients, perMinute, random } = options;
  const left: Record<Leaving, number> = { connected: 0, asking: 0, asked: 0, bytes: 0, waiting: 0 };
  const pauseMs = 60_000 / perMinute;
  const begun = performance.now();
  const visits: Promise<void>[] = [];
  for (let nth = 0; nth < clients; nth++) {
    const way = randomPick(random, WAYS);
    left[way]++;
    visits.push(visit(options, way));
    const due = begun + (nth + 1) * pauseMs;
    if (due > performance.now()) await sleep(due - performance.now());
  }
  await Promise.all(visits);
  return left;
}

function visit({ port, random, paths, cursors }: RestlessOptions, way: Leaving): Promise<void> {
  const path = randomPick(random, paths);
  const cursor = path === paths[0] && cursors.length > 0 && random() < 0.5 ? randomPick(random, cursors) : undefined;
  const id = cursor === undefined ? '' : `last-event-id: ${cursor}\r\n`;
  const request = `GET ${path} HTTP/1.1\r\nhost: x\r\n${id}\r\n`;
  const [share, bytes, waitMs, withReset] = [random(), 1 + random() * 20_000, random() * 60, random() < 0.5];
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const leave = (): void => void (withReset ? socket.resetAndDestroy() : socket.destroy());
    let read = 0;
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
    socket.on('data', (part) => {
      read += part.length;
      if (way === 'bytes' && read >= bytes) leave();
    });
    socket.on('connect', () => {
      if (way === 'connected') return leave();
      socket.write(way === 'asking' ? request.slice(0, Math.floor(share * request.length)) : request);
      if (way === 'asking') setImmediate(leave);
      else if (way === 'asked') setTimeout(leave, Math.floor(share * 5));
      // What has not so many bytes, or only waits, is left after a while.
      else setTimeout(leave, waitMs);
    });
  });
}
