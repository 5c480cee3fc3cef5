import type { ReceivedWebhook, WebhookAnswer } from '@nest-baton/testing';

import type { OutboxWorld } from '../support/outbox-world.js';

/** An event of a line as these tests send it. */
export interface Placed {
  readonly key: string;
  readonly n: number;
}

export function placedOf(request: ReceivedWebhook): Placed {
  return (JSON.parse(request.body.toString()) as { data: Placed }).data;
}

/** The numbers that came to a path, of one key, in order of arrival; repetitions too. */
export function arrived(world: OutboxWorld, path: string, key = 'k'): number[] {
  return world
    .requests(path)
    .map(placedOf)
    .filter((placed) => placed.key === key)
    .map(({ n }) => n);
}

export function keyed(n: number, key = 'k') {
  return { type: 'a', data: { key, n }, orderKey: key };
}

export async function statesOf(world: OutboxWorld): Promise<string[]> {
  return (await world.deliveries()).map(({ state }) => state);
}

const takeAway = new WeakMap<OutboxWorld, Map<string, () => void>>();

/** Answers by the number of the event, instead of those before; 204 where nothing is said. */
export function answerBy(world: OutboxWorld, path: string, answers: Readonly<Record<number, WebhookAnswer>>): void {
  const before = takeAway.get(world) ?? new Map<string, () => void>();
  takeAway.set(world, before);
  before.get(path)?.();
  const script = world.receiver.answerWhere({ path: `/${path}` }, (request) => answers[placedOf(request).n] ?? {});
  before.set(path, script);
}
