import { waitFor } from '@nest-baton/testing';
import type { WebhookOutboxEvents, WebhookOutboxOptions } from '@nest-baton/webhook-outbox';
import { type OutboxApp, OutboxWorld } from './support/outbox-world.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

/** Quick, but nothing that a busy machine does by itself. */
const QUICK: WebhookOutboxOptions = { breakerFailures: 5, breakerPause: '700ms', schedule: ['20ms', '20ms', '1h'] };

async function send(app: OutboxApp, count: number, type = 'a'): Promise<void> {
  for (let nth = 0; nth < count; nth++) await app.outbox.send({ type, data: nth });
}

interface StateRow {
  readonly breaker: string;
  readonly failures: number;
  readonly failing_since: Date | null;
  readonly failing_events: number;
  readonly warned_at: Date | null;
}

async function states(): Promise<StateRow[]> {
  return (await world.admin.query<StateRow>('SELECT * FROM baton.webhook_endpoint_states')).rows;
}

function heard(app: OutboxApp): string[] {
  const told: string[] = [];
  const names = ['endpointPaused', 'endpointFailing', 'endpointDisabling', 'endpointDisabled', 'endpointRecovered'];
  for (const name of names as (keyof WebhookOutboxEvents)[]) app.outbox.on(name, () => void told.push(name));
  return told;
}

/** As if it had done nothing but fail for so long. */
async function failingFor(days: number, events = 10): Promise<void> {
  await world.admin.query(
    `UPDATE baton.webhook_endpoint_states SET failing_since = now() - make_interval(days => $1), failing_events = $2`,
    [days, events],
  );
}

describe('an endpoint that is well', () => {
  it('costs no write: it has no state', async () => {
    const app = await world.start();
    await world.endpoint(app, 'x');
    await send(app, 20);
    await world.settled(20);
    expect(await states()).toEqual([]);
  });

  it('is well again after one success, and told so by no event when its breaker was never open', async () => {
    world.receiver.answer([{ status: 500 }]);
    const app = await world.start();
    const told = heard(app);
    await world.endpoint(app, 'x');
    await send(app, 1);
    await world.settled(1);
    await waitFor(async () => (await states())[0]?.failures === 0, { description: 'the state to be clean' });
    expect(await states()).toMatchObject([{ breaker: 'closed', failing_since: null, failing_events: 0 }]);
    expect(told).toEqual([]);
  });
});

describe('the breaker', () => {
  it('opens after so many failures in a row, lets one request through at a time, and shuts with a success', async () => {
    let isWell = false;
    world.receiver.answer(() => ({ status: isWell ? 204 : 500 }));
    const app = await world.start({ ...QUICK, schedule: ['20ms', '20ms', '20ms', '20ms', '20ms', '20ms', '20ms'] });
    const told = heard(app);
    await world.endpoint(app, 'x');
    await send(app, 5);
    await waitFor(() => told.includes('endpointFailing'), { description: 'the breaker to open' });
    const atOpening = world.requests('x').length;
    await waitFor(async () => (await world.deliveries()).every(({ state }) => state === 'ready'), {
      description: 'nothing on its way',
    });
    const before = world.requests('x').length;
    expect(before).toBeLessThanOrEqual(atOpening + 5);
    await world.received('x', before + 2);
    const gaps = world
      .requests('x')
      .slice(before - 1)
      .map(({ receivedAt }) => receivedAt);
    for (let nth = 1; nth < gaps.length; nth++) expect(gaps[nth]! - gaps[nth - 1]!).toBeGreaterThanOrEqual(690);
    isWell = true;
    const rows = await world.settled(5);
    expect(rows.every(({ state }) => state === 'delivered')).toBe(true);
    await waitFor(() => told.includes('endpointRecovered'), { description: 'the recovery to be told' });
    expect(told).toEqual(['endpointFailing', 'endpointRecovered']);
    expect(await states()).toMatchObject([{ breaker: 'closed', failures: 0 }]);
  });

  it('is one for all processes: who has seen no failure sends nothing either, and only one of them probes', async () => {
    world.receiver.answer((request) => (request.path === '/sick' ? { status: 500 } : {}));
    const options = { ...QUICK, breakerPause: '1500ms' } as const;
    const apps = [await world.start(options), await world.start(options)];
    const told = apps.map(heard);
    await world.endpoint(apps[0]!, 'sick', { types: ['sick'] });
    await world.endpoint(apps[0]!, 'well', { types: ['well'] });
    await send(apps[0]!, 12, 'sick');
    await waitFor(() => told.flat().length > 0, { description: 'the breaker to open' });
    await waitFor(async () => (await world.deliveries()).every(({ state }) => state === 'ready'), {
      description: 'nothing on its way',
    });
    await send(apps[1]!, 20, 'sick');
    await send(apps[1]!, 3, 'well');
    await world.received('well', 3);
    const before = world.requests('sick').length;
    await world.received('sick', before + 2);
    const [first, second] = world.requests('sick').slice(before);
    expect(second!.receivedAt - first!.receivedAt).toBeGreaterThanOrEqual(1_490);
    expect(told.flat()).toEqual(['endpointFailing']);
  });

  it('lets another probe through when the process that probed is gone', async () => {
    const app = await world.start({ ...QUICK, role: 'producer' });
    await world.endpoint(app, 'x');
    await send(app, 3);
    await world.admin.query(
      `INSERT INTO baton.webhook_endpoint_states (endpoint_id, breaker, open_until, probe_until, failures, failing_since, failing_events)
       SELECT id, 'open', now() - interval '1 s', now() + interval '1 s', 5, now(), 5 FROM baton.webhook_endpoints`,
    );
    const worker = await world.start(QUICK);
    const begun = Date.now();
    await world.settled(3);
    expect(world.requests('x')[0]!.receivedAt - begun).toBeGreaterThan(500);
    expect(await states()).toMatchObject([{ breaker: 'closed' }]);
    await worker.close();
  });

  it('is shut by any final answer, since the endpoint is there', async () => {
    world.receiver.answer((_request, nth) => ({ status: nth < 4 ? 500 : 400 }));
    const app = await world.start({ ...QUICK, schedule: ['1h'] });
    const told = heard(app);
    await world.endpoint(app, 'x');
    for (let nth = 1; nth <= 6; nth++) {
      await send(app, 1);
      await waitFor(async () => (await states())[0]?.failing_events === nth, {
        description: 'its outcome to be known',
      });
    }
    expect(await states()).toMatchObject([{ breaker: 'closed', failures: 0, failing_events: 6 }]);
    expect(told).toEqual([]);
  });
});

describe('an endpoint that asks to be left alone', () => {
  it.each([429, 503])('with %i and Retry-After is, with all its deliveries, in every process', async (status) => {
    world.receiver.answer([{ status, headers: { 'retry-after': '2' } }]);
    const apps = [await world.start(), await world.start()];
    const told = heard(apps[0]!).concat(heard(apps[1]!));
    await world.endpoint(apps[0]!, 'x');
    await send(apps[0]!, 1);
    await world.received('x', 1);
    await waitFor(async () => (await states()).length === 1, { description: 'the pause to be written' });
    await send(apps[1]!, 5);
    await world.settled(6);
    const [first, ...rest] = world.requests('x');
    for (const { receivedAt } of rest) expect(receivedAt - first!.receivedAt).toBeGreaterThanOrEqual(1_950);
    expect(told).toEqual([]);
  });
});

describe('an endpoint that answers 410', () => {
  it('is disabled: this delivery failed, the others are parked, and later ones too', async () => {
    world.receiver.answer([{ status: 410, delayMs: 200 }]);
    const app = await world.start({ maxInFlight: 1 });
    const told: unknown[] = [];
    app.outbox.on('endpointDisabled', (event) => told.push(event));
    const { id } = await world.endpoint(app, 'x');
    await send(app, 30);
    const rows = await world.settled(30);
    expect(rows.map(({ state }) => state).sort()).toEqual(['failed', ...Array<string>(29).fill('parked')]);
    expect(rows.filter(({ state }) => state === 'parked')).toMatchObject(
      Array(29).fill({ attempts: 0, reason: 'endpoint-disabled' }),
    );
    expect(told).toEqual([{ endpointId: id, reason: 'gone' }]);
    const { rows: endpoints } = await world.admin.query('SELECT * FROM baton.webhook_endpoints');
    expect(endpoints).toMatchObject([{ state: 'disabled', disabled_reason: 'gone', version: 2 }]);
    expect(world.requests('x')).toHaveLength(1);
    expect((await app.outbox.stats()).byState).toMatchObject({ parked: 29, failed: 1, ready: 0 });
    const sent = [await app.outbox.send({ type: 'a', data: 'later' })];
    sent.push(...(await app.outbox.sendMany([1, 2].map((data) => ({ type: 'a', data })))));
    expect(sent).toMatchObject(Array(3).fill({ state: 'persisted', deliveries: 1 }));
    expect((await world.settled(33)).slice(30)).toMatchObject(
      Array(3).fill({ state: 'parked', reason: 'endpoint-disabled', attempts: 0 }),
    );
    expect(world.requests('x')).toHaveLength(1);
  });

  it('gets nothing that was claimed before it was disabled and not started', async () => {
    world.receiver.answer({ delayMs: 300 });
    const app = await world.start({ maxInFlight: 1, pollInterval: '1h', hints: 'off' });
    await world.endpoint(app, 'x');
    await send(app, 1);
    await app.close();
    const gone = await world.start({ role: 'producer' });
    await world.admin.query(`UPDATE baton.webhook_deliveries SET state = 'ready', settled_at = NULL, next_at = now()`);
    await world.admin.query(
      `CREATE FUNCTION baton.off() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         UPDATE baton.webhook_endpoints SET state = 'disabled', version = version + 1; RETURN NULL; END $$`,
    );
    await world.admin.query(
      `CREATE TRIGGER off AFTER UPDATE ON baton.webhook_deliveries FOR EACH ROW
         WHEN (NEW.state = 'leased' AND OLD.state = 'ready') EXECUTE FUNCTION baton.off()`,
    );
    const before = world.requests('x').length;
    await gone.close();
    await world.start();
    const rows = await world.settled(1);
    expect(rows).toMatchObject([{ state: 'parked' }]);
    expect(world.requests('x')).toHaveLength(before);
    expect((await world.attempts()).slice(before)).toEqual([]);
  });
});

describe('an endpoint that does nothing but fail', () => {
  const FAILING = { disableAfter: '4d', breakerFailures: 0, schedule: ['100ms', '1h'] } as const;

  it('is announced at half of disableAfter, once, and disabled after all of it', async () => {
    world.receiver.answer({ status: 500 });
    const app = await world.start(FAILING);
    const told: string[] = [];
    app.outbox.on('endpointDisabling', ({ failingEvents, failingSince, disablesAt }) =>
      told.push(`disabling ${failingEvents} ${(Number(disablesAt) - Number(failingSince)) / 86_400_000}`),
    );
    app.outbox.on('endpointDisabled', ({ reason }) => told.push(`disabled ${reason}`));
    await world.endpoint(app, 'x');
    await send(app, 1);
    await waitFor(async () => (await states()).length === 1, { description: 'the first failure' });
    await failingFor(2, 20);
    await send(app, 1);
    await waitFor(() => told.length === 1, { description: 'the announcement' });
    await send(app, 1);
    await world.received('x', 5);
    await failingFor(4, 30);
    await send(app, 1);
    await waitFor(() => told.length === 2, { description: 'the end' });
    expect(told[0]).toMatch(/^disabling 2[01] 4$/);
    expect(told[1]).toBe('disabled failing');
    await world.settled((await world.deliveries()).length);
    expect((await world.deliveries()).every(({ state }) => state === 'parked')).toBe(true);
  });

  it.each([
    ['of fewer than ten events', 9, 500],
    ['that ends with a success', 30, 204],
  ])('for long, but %s, stays', async (_what, events, status) => {
    let answer = 500;
    world.receiver.answer(() => ({ status: answer }));
    const app = await world.start(FAILING);
    const told = heard(app);
    await world.endpoint(app, 'x');
    await send(app, 1);
    await waitFor(async () => (await states())[0]?.failures === 2, { description: 'its second failure' });
    await failingFor(10, events - 1);
    answer = status;
    await send(app, 1);
    await waitFor(
      async () => {
        const [state] = await states();
        return state?.failing_since === null || state?.failing_events === events;
      },
      { description: 'its outcome to be known' },
    );
    expect(told).toEqual([]);
    const { rows } = await world.admin.query('SELECT state FROM baton.webhook_endpoints');
    expect(rows).toEqual([{ state: 'active' }]);
  });
});

describe('deliveries of an endpoint that is off', () => {
  it('are parked or, when it was deleted, abandoned, also those of a producer that began before and commits late', async () => {
    const producer = await world.start({ role: 'producer' });
    await world.endpoint(producer, 'disabled', { types: ['disabled'] });
    await world.endpoint(producer, 'deleted', { types: ['deleted'] });
    const late = producer.dataSource.createQueryRunner();
    for (const type of ['disabled', 'deleted']) await send(producer, 2, type);
    await late.startTransaction();
    for (const type of ['disabled', 'deleted'])
      await producer.outbox.send({ type, data: 'late' }, { transaction: late });
    await world.admin.query('UPDATE baton.webhook_endpoints SET state = types[1]');
    await world.start({ role: 'worker' });
    await world.settled(4);
    await late.commitTransaction();
    await late.release();
    for (const { type, state, reason, attempts } of await world.settled(6, 15_000))
      expect({ type, state, reason, attempts }).toEqual({
        type,
        state: type === 'disabled' ? 'parked' : 'abandoned',
        reason: `endpoint-${type}`,
        attempts: 0,
      });
    expect(world.receiver.requests).toHaveLength(0);
  });
});
