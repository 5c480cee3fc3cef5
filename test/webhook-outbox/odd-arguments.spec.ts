import {
  cleanupOldEvents,
  claimDueEvents,
  completeEvent,
  enqueueEvent,
  failEvent,
  rescheduleEvent,
} from '@nest-baton/webhook-outbox';
import { verifyWebhook } from '@nest-baton/webhook-outbox/receiving';
import type { EntityManager } from 'typeorm';
import { type OutboxApp, OutboxWorld } from './support/outbox-world.js';

let world: OutboxWorld;
let app: OutboxApp;
let id: string;
beforeAll(async () => {
  world = await OutboxWorld.create();
  app = await world.start({ role: 'producer' });
  ({ id } = await world.endpoint(app, 'x', { types: ['never'] }));
});
afterAll(() => world.stop());

/** Of a caller without types, or of JSON that somebody else wrote. */
const ODD: readonly [string, unknown][] = [
  ['undefined', undefined],
  ['null', null],
  ['0', 0],
  ['-1', -1],
  ['NaN', NaN],
  ['1e308', 1e308],
  ['an empty text', ''],
  ['a text', 'x'],
  ['a NUL', '\0'],
  ['half a character', '\ud800'],
  ['a long text', 'y'.repeat(5_000)],
  ['true', true],
  ['a BigInt', 1n],
  ['a symbol', Symbol('s')],
  ['a function', () => 1],
  ['an empty list', []],
  ['a list of null', [null]],
  ['an object', { x: 1 }],
  ['no prototype', Object.create(null)],
  ['a map', new Map([['x', 1]])],
  ['no date', new Date(NaN)],
];

/** Each has the value for one of its arguments, or for a field of it. */
type Calls = Readonly<Record<string, (value: never) => unknown>>;

const fields = (names: readonly string[], call: (given: never) => unknown): Calls =>
  Object.fromEntries(names.map((name) => [name, (value: never) => call({ [name]: value } as never)]));

/** Resolves as it may, or says why not by a code of ours: never by an error of the language, of a driver or of the database. */
async function expectAnswered(calls: Calls, value: unknown): Promise<void> {
  const answers = await Promise.all(
    Object.entries(calls).map(async ([name, call]): Promise<string | undefined> => {
      try {
        await call(value as never);
        return undefined;
      } catch (error) {
        const { code, retryable, message } = error as { code?: unknown; retryable?: unknown; message: string };
        return typeof code === 'string' && typeof retryable === 'boolean' ? undefined : `${name}: ${message}`;
      }
    }),
  );
  expect(answers.filter((answer) => answer !== undefined)).toEqual([]);
}

const inHand = { outboxId: '00000000-0000-0000-0000-000000000001', fence: '1' } as never;
const LEGACY = { scheme: 'hex', header: 'x-s', secret: 'long enough' } as const;
const ENDPOINT_FIELDS = ['types', 'headers', 'legacySignature', 'schedule', 'maxInFlight', 'rate', 'globalMaxInFlight'];
const FILTER_FIELDS = ['tenant', 'endpointId', 'state', 'type', 'outboxId', 'eventId', 'createdAfter', 'createdBefore'];

describe('whatever is given instead of what was meant', () => {
  it.each(ODD)('is answered by the producer: %s', async (_what, value) => {
    const { outbox } = app;
    const event = { type: 'a', data: 1 };
    await expectAnswered(
      {
        ...fields(['type', 'tenant', 'id', 'orderKey', 'data'], (given: object) => outbox.send({ ...event, ...given })),
        event: (given) => outbox.send(given),
        options: (given) => outbox.send(event, given),
        transaction: (given) => outbox.send(event, { transaction: given }),
        list: (given) => outbox.sendMany(given),
        entry: (given) => outbox.sendMany([given]),
        deliver: (given) => outbox.deliver(given),
        sweep: (given) => outbox.sweepPendingEvents(given),
        ...fields(['limit', 'lease'], (given) => outbox.sweepPendingEvents(given)),
      },
      value,
    );
  });

  it.each(ODD)('is answered where endpoints are kept: %s', async (_what, value) => {
    const { endpoints } = app;
    const url = `${world.receiver.url}y`;
    await expectAnswered(
      {
        create: (given) => endpoints.create(given),
        ...fields(['url', 'tenant', 'secret', 'signatures', 'order', 'onDead', ...ENDPOINT_FIELDS], (given: object) =>
          endpoints.create({ url, ...given }),
        ),
        ...fields(['scheme', 'header', 'timestampHeader', 'typeHeader'], (given: object) =>
          endpoints.create({ url, legacySignature: { ...LEGACY, ...given } }),
        ),
        ...fields(['perSecond', 'burst'], (given: object) =>
          endpoints.create({ url, rate: { perSecond: 1, ...given } }),
        ),
        'a type': (given) => endpoints.create({ url, types: [given] }),
        'a signature': (given) => endpoints.create({ url, signatures: ['v1', given] }),
        'a header': (given) => endpoints.create({ url, headers: { x: given } }),
        change: (given) => endpoints.update(id, given),
        'id to get': (given) => endpoints.get(given),
        'id to disable': (given) => endpoints.disable(given),
        'id to delete': (given) => endpoints.delete(given),
        'id to rotate': (given) => endpoints.rotateSecret(given),
        scope: (given) => endpoints.get(id, given),
        test: (given) => endpoints.sendTest(id, given),
        rotation: (given) => endpoints.rotateSecret(id, given),
        ...fields(['kind', 'expireOldAfter'], (given) => endpoints.rotateSecret(id, given)),
        'secret to revoke': (given) => endpoints.revokeSecret(id, given),
        filter: (given) => endpoints.list(given),
        page: (given) => endpoints.list({}, given),
        reseal: (given) => endpoints.reseal(given),
      },
      value,
    );
  });

  it.each(ODD)('is answered where deliveries are looked at: %s', async (_what, value) => {
    const { deliveries } = app;
    await expectAnswered(
      {
        filter: (given) => deliveries.list(given),
        ...fields(FILTER_FIELDS, (given) => deliveries.list(given)),
        page: (given) => deliveries.list({}, given),
        ...fields(['limit', 'cursor'], (given) => deliveries.list({}, given)),
        get: (given) => deliveries.get(given),
        attempts: (given) => deliveries.attempts(given),
        replay: (given) => deliveries.replay(given),
        abandon: (given) => deliveries.abandon(given),
        scope: (given) => deliveries.get('1', given),
        'scope of an abandonment': (given) => deliveries.abandon({ type: 'a' }, given),
        replayMany: (given) => deliveries.replayMany(given),
        ...fields(['rate', 'dryRun'], (given: object) => deliveries.replayMany({ filter: { type: 'a' }, ...given })),
      },
      value,
    );
  });

  it.each(ODD)('is answered by the primitives, and the transaction goes on: %s', async (_what, value) => {
    const event = { type: 'a', data: 1 };
    const calls = (transaction: EntityManager): Calls => ({
      event: (given) => enqueueEvent(transaction, given),
      tables: (given) => enqueueEvent(transaction, event, given),
      ...fields(['maxPayloadBytes', 'handOffGrace'], (given) => enqueueEvent(transaction, event, given)),
      ...fields(['limit', 'lease'], (given) => claimDueEvents(transaction, given)),
      complete: (given) => completeEvent(transaction, given),
      fail: (given) => failEvent(transaction, given, 'no'),
      error: (given) => failEvent(transaction, inHand, given),
      reschedule: (given) => rescheduleEvent(transaction, given, '1s'),
      delay: (given) => rescheduleEvent(transaction, inHand, given),
      transaction: (given) => enqueueEvent(given, event),
      cleanup: (given) => cleanupOldEvents(transaction, given),
      ...fields(['limit', 'cursor', 'retention'], (given) => cleanupOldEvents(transaction, given)),
    });
    await app.dataSource.transaction(async (transaction) => {
      await expectAnswered(calls(transaction), value);
      expect(await transaction.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    });
  });

  it.each(ODD)('is answered to a receiver: %s', async (_what, value) => {
    const headers = { 'webhook-id': 'a', 'webhook-timestamp': '1', 'webhook-signature': 'v1,aa' };
    const webhook = { headers, body: '', secrets: `whsec_${Buffer.alloc(32).toString('base64')}` };
    await expectAnswered(
      fields(['headers', 'body', 'secrets', 'tolerance'], (given: object) => verifyWebhook({ ...webhook, ...given })),
      value,
    );
  });
});
