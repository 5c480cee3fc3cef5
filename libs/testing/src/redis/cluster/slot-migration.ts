import type { Redis } from 'ioredis';
import { BackendFailedError } from '../../testing.errors.js';
import type { LocalClusterNode } from './cluster-node.js';

const SLOTS_AT_ONCE = 100;
const KEYS_AT_ONCE = 100;
const MIGRATE_TIMEOUT_MS = 5000;

interface Side {
  readonly node: LocalClusterNode;
  readonly connection: Redis;
}

/**
 * Moves slots from one master to another while clients go on, as redis-cli does: clients are sent after a moved key with ASK, and with MOVED once
 * a slot's keys are all there. A failure in the middle leaves the slots of that step open, which clients do not notice: moving them again ends it.
 *
 * @param others the masters that are neither side, to be told of the new owner.
 */
export async function migrateSlots(
  slots: readonly number[],
  from: LocalClusterNode,
  to: LocalClusterNode,
  others: readonly LocalClusterNode[],
): Promise<void> {
  await from.ask((source) =>
    to.ask(async (target) => {
      const sides = [
        { node: from, connection: source },
        { node: to, connection: target },
      ] as const;
      for (let start = 0; start < slots.length; start += SLOTS_AT_ONCE)
        await migrateStep(slots.slice(start, start + SLOTS_AT_ONCE), ...sides, others);
    }),
  );
}

async function migrateStep(
  slots: readonly number[],
  from: Side,
  to: Side,
  others: readonly LocalClusterNode[],
): Promise<void> {
  // The target first: a client that is sent there with ASK before the target knows is sent back.
  await Promise.all(slots.map((slot) => setSlot(to.connection, slot, 'IMPORTING', from.node.id)));
  await Promise.all(slots.map((slot) => setSlot(from.connection, slot, 'MIGRATING', to.node.id)));
  for (const slot of slots) await migrateKeys(slot, from, to);
  // The target first again: between the two, somebody must be the owner.
  await Promise.all(slots.map((slot) => setSlot(to.connection, slot, 'NODE', to.node.id)));
  await Promise.all(slots.map((slot) => setSlot(from.connection, slot, 'NODE', to.node.id)));
  await Promise.all(
    others.map((node) =>
      node.ask((connection) => Promise.all(slots.map((slot) => setSlot(connection, slot, 'NODE', to.node.id)))),
    ),
  );
}

function setSlot(connection: Redis, slot: number, what: 'IMPORTING' | 'MIGRATING' | 'NODE', id: string) {
  return connection.call('CLUSTER', 'SETSLOT', String(slot), what, id);
}

/** While the slot is MIGRATING no key comes into being at the source, so that an empty answer stays true. */
async function migrateKeys(slot: number, from: Side, to: Side): Promise<void> {
  for (;;) {
    const keys = (await from.connection.callBuffer('CLUSTER', 'GETKEYSINSLOT', String(slot), KEYS_AT_ONCE)) as Buffer[];
    if (keys.length === 0) return;
    // REPLACE: what an interrupted move left at the target is a copy; until it is gone here, only this side was written to.
    const { host, port } = to.node;
    const fixed = [host, port, '', 0, MIGRATE_TIMEOUT_MS, 'REPLACE', 'KEYS'];
    const answer = String(await from.connection.call('MIGRATE', ...fixed, ...keys));
    if (answer !== 'OK' && answer !== 'NOKEY')
      throw new BackendFailedError(
        `Slot ${slot} could not be moved from ${from.node.name} to ${to.node.name}: ${answer}`,
      );
  }
}
