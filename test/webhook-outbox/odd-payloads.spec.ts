import type { WebhookEvent } from '@nest-baton/webhook-outbox';
import { OutboxWorld } from './support/outbox-world.js';

let world: OutboxWorld;
beforeAll(async () => void (world = await OutboxWorld.create()));
afterAll(() => world.stop());

const cycle: Record<string, unknown> = { a: 1 };
cycle['self'] = cycle;
const deep = (levels: number) => JSON.parse(`${'['.repeat(levels)}${']'.repeat(levels)}`) as unknown;
/** Too deep to be written, though not to be built. */
const bottomless = (): unknown => {
  let value: unknown = 1;
  for (let level = 0; level < 200_000; level++) value = { value };
  return value;
};
const throwing = {
  toJSON() {
    throw new Error('thrown by the test');
  },
};
const getter = {
  get secret(): string {
    throw new TypeError('thrown by the test');
  },
};

/** Of 256 KiB, beside what stands around the data. */
const BYTES_LEFT = 256 * 1024 - `{"type":"refused","timestamp":"${new Date(0).toISOString()}","data":""}`.length;

describe('an event that cannot be sent', () => {
  it.each<[string, Partial<WebhookEvent>, string]>([
    ['a BigInt', { data: { n: 1n } }, 'EVENT_INVALID'],
    ['a cycle', { data: cycle }, 'EVENT_INVALID'],
    ['a toJSON that throws', { data: [throwing] }, 'EVENT_INVALID'],
    ['a getter that throws', { data: getter }, 'EVENT_INVALID'],
    ['no end of nesting', { data: bottomless() }, 'EVENT_INVALID'],
    ['no data', { data: undefined }, 'EVENT_INVALID'],
    ['a function', { data: () => 1 }, 'EVENT_INVALID'],
    ['a symbol', { data: Symbol('x') }, 'EVENT_INVALID'],
    ['10 MB', { data: 'x'.repeat(10 * 1024 * 1024) }, 'PAYLOAD_TOO_LARGE'],
    ['10 MB once it is escaped', { data: '\u0000'.repeat(100_000) }, 'PAYLOAD_TOO_LARGE'],
    ['a type with a newline', { type: 'a\nb' }, 'EVENT_INVALID'],
    ['a type that ends with a newline', { type: 'a\n' }, 'EVENT_INVALID'],
    ['a type with dots at its ends', { type: '.a.' }, 'EVENT_INVALID'],
    ['a type with two dots', { type: 'a..b' }, 'EVENT_INVALID'],
    ['a type that is no ASCII', { type: 'añ' }, 'EVENT_INVALID'],
    ['a type with NUL', { type: 'a\u0000' }, 'EVENT_INVALID'],
    ['a type with a glob', { type: 'a.*' }, 'EVENT_INVALID'],
    ['a type of 129 characters', { type: 'a'.repeat(129) }, 'EVENT_INVALID'],
    ['an empty type', { type: '' }, 'EVENT_INVALID'],
    ['an id with NUL', { id: 'a\u0000b' }, 'EVENT_INVALID'],
    ['an id with half a character', { id: 'a\ud800' }, 'EVENT_INVALID'],
    ['an empty id', { id: '' }, 'EVENT_INVALID'],
    ['an id of 257 characters', { id: 'a'.repeat(257) }, 'EVENT_INVALID'],
    ['an id that is a number', { id: 5 as unknown as string }, 'EVENT_INVALID'],
    ['a tenant with NUL', { tenant: '\u0000' }, 'EVENT_INVALID'],
    ['a tenant with half a character', { tenant: '\udc00' }, 'EVENT_INVALID'],
    ['a tenant of 257 characters', { tenant: 'a'.repeat(257) }, 'EVENT_INVALID'],
    ['a tenant that is null', { tenant: null as unknown as string }, 'EVENT_INVALID'],
    ['an order key with NUL', { orderKey: 'a\u0000' }, 'EVENT_INVALID'],
    ['an order key with half a character', { orderKey: '\ud83d' }, 'EVENT_INVALID'],
    ['an empty order key', { orderKey: '' }, 'EVENT_INVALID'],
    ['an order key of 257 characters', { orderKey: 'a'.repeat(257) }, 'EVENT_INVALID'],
    ['a type that is no text', { type: ['a'] as unknown as string }, 'EVENT_INVALID'],
    ['one byte too many', { data: 'x'.repeat(BYTES_LEFT + 1) }, 'PAYLOAD_TOO_LARGE'],
  ])('for %s is refused within the transaction, which goes on', async (what, bad, code) => {
    const app = await application();
    await world.admin.query('CREATE TABLE IF NOT EXISTS orders (name text)');
    const before = await storedKeys();
    const event = { type: 'refused', data: 1, ...bad };
    const good = { type: 'refused', id: `not ${what}`, data: { what } };
    await app.dataSource.transaction(async (transaction) => {
      await transaction.query('INSERT INTO orders VALUES ($1)', [what]);
      await expect(app.outbox.send(event, { transaction })).rejects.toMatchObject({ code });
      await expect(app.outbox.sendMany([good, event], { transaction })).rejects.toMatchObject({ code, index: 1 });
      expect(await app.outbox.send(good, { transaction })).toMatchObject({ duplicate: false, deliveries: 1 });
    });
    await expect(app.outbox.send(event)).rejects.toMatchObject({ code });
    expect((await world.admin.query('SELECT FROM orders WHERE name = $1', [what])).rowCount).toBe(1);
    expect(await storedKeys()).toEqual([...before, good.id].toSorted());
    expect((await world.deliveries()).map(({ dedupe_key }) => dedupe_key).toSorted()).toEqual(await storedKeys());
  });
});

it('an event of as many bytes as may be is sent, and of the longest names', async () => {
  const app = await application();
  const names = { id: '😀'.repeat(128), tenant: '\u{10ffff}'.repeat(128), orderKey: '€'.repeat(256) };
  const data = 'x'.repeat(BYTES_LEFT);
  expect(await app.outbox.send({ type: 'refused', data })).toMatchObject({ deliveries: 1, state: 'persisted' });
  await world.endpoint(app, 'long', { tenant: names.tenant, order: 'strict' });
  const sent = await app.outbox.send({ type: 'a'.repeat(128), data: 1, ...names });
  expect(sent).toMatchObject({ id: names.id, deliveries: 1, state: 'persisted' });
  expect(await app.outbox.send({ type: 'a'.repeat(128), data: 1, ...names })).toMatchObject({ duplicate: true });
  await world.received('long', 1);
});

describe('an event that can be sent, odd as it is', () => {
  it.each<[string, unknown, string]>([
    ['keys in this order', { b: 1, a: { d: 2, c: 3 }, 10: 4, 2: 5 }, '{"2":5,"10":4,"b":1,"a":{"d":2,"c":3}}'],
    ['the key __proto__', JSON.parse('{"__proto__":{"x":1},"constructor":2}'), '{"__proto__":{"x":1},"constructor":2}'],
    ['no prototype', Object.assign(Object.create(null) as object, { a: 1 }), '{"a":1}'],
    [
      'numbers that are none, as JSON has it',
      [JSON.parse('1e400'), JSON.parse('-1e400'), NaN, -0, 1e21, 5e-324],
      '[null,null,null,0,1e+21,5e-324]',
    ],
    ['half characters', ['\ud800', '\udc00x'], '["\\ud800","\\udc00x"]'],
    ['NUL and line ends of other languages', '\u0000\u2028\u0085', '"\\u0000\u2028\u0085"'],
    ['text of every plane', 'ä€😀\u{10ffff}', '"ä€😀\u{10ffff}"'],
    ['holes and what is left out', [undefined, { a: undefined, b: () => 1 }], '[null,{}]'],
    ['a date, a map', [new Date(0), new Map([[1, 2]])], '["1970-01-01T00:00:00.000Z",{}]'],
    ['much nesting', deep(500), `${'['.repeat(500)}${']'.repeat(500)}`],
    ['null', null, 'null'],
    ['markup', '</script><!--', '"</script><!--"'],
  ])('has the same bytes on each attempt: %s', async (what, data, json) => {
    const app = await application();
    world.forget();
    world.receiver.answer(undefined);
    const undo = world.receiver.answerWhere({ path: '/odd' }, [{ status: 500 }, { status: 503 }]);
    const id = `odd id. ${what}\n😀 'x"--`;
    expect(await app.outbox.send({ type: 'odd', id, data })).toMatchObject({ id, duplicate: false });
    const requests = await world.received('odd', 3);
    undo();
    const [first] = requests;
    const timestamp = /"timestamp":"[^"]+"/.exec(first!.body.toString())![0];
    for (const request of requests) {
      expect(request.body.equals(Buffer.from(`{"type":"odd",${timestamp},"data":${json}}`))).toBe(true);
      expect(request.id).toBe(first!.id);
      expect(request.id).toMatch(/^msg_[0-9a-f]{32}$/);
      expect(world.receiver.verify(request, secret)).toBe(true);
    }
    expect(await app.outbox.send({ type: 'odd', id, data })).toMatchObject({ duplicate: true });
  });
});

/** Of all events so far. */
async function storedKeys(): Promise<readonly string[]> {
  const { rows } = await world.admin.query<{ key: string }>('SELECT dedupe_key AS key FROM baton.webhook_events');
  return rows.map(({ key }) => key).toSorted();
}

let made: ReturnType<OutboxWorld['start']> | undefined;
let secret = '';

/** One for all tests, with an endpoint for each type. */
async function application() {
  if (made === undefined) {
    made = world.start({ schedule: ['10ms', '10ms', '10ms'], breakerFailures: 0 });
    const app = await made;
    await world.endpoint(app, 'refused', { types: ['refused'] });
    secret = (await world.endpoint(app, 'odd', { types: ['odd'] })).secret;
  }
  return made;
}
