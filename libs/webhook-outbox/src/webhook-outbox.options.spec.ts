import { WEBHOOK_OUTBOX_ENVIRONMENT, webhookOutboxOptionsFromEnv } from './configuring/outbox-environment.js';
import { resolveWebhookOutboxOptions } from './webhook-outbox.options.js';

const key = Buffer.alloc(32, 1).toString('base64');
const keys = [{ id: 'k1', key }];

function problemsOf(resolve: () => unknown): string {
  try {
    resolve();
  } catch (error) {
    return (error as Error).message;
  }
  return '';
}

describe('options', () => {
  it('have the documented defaults', () => {
    expect(resolveWebhookOutboxOptions({ keys })).toMatchObject({
      role: 'all',
      schema: 'baton',
      pollIntervalMs: 1_000,
      leaseMs: 30_000,
      requestTimeoutMs: 20_000,
      batchSize: 100,
      maxInFlight: 32,
      maxPayloadBytes: 262_144,
      maxResponseBytes: 65_536,
      retryAfterCapMs: 3_600_000,
      allowHttp: false,
      allowAddresses: [],
    });
    const { scheduleMs } = resolveWebhookOutboxOptions({ keys });
    expect(scheduleMs).toHaveLength(9);
    expect(scheduleMs.reduce((sum, ms) => sum + ms, 0) / 3_600_000).toBeCloseTo(75.58, 1);
  });

  it('report everything wrong at once, and no key', () => {
    const message = problemsOf(() =>
      resolveWebhookOutboxOptions({
        keys: [{ id: 'k 1', key: 'geheim' }],
        lease: '10s',
        requestTimeout: '10s',
        schedule: ['soon' as never],
        allowAddresses: ['10.0.0.1'],
        batchsize: 5,
      } as never),
    );
    for (const name of [
      'keys[0].id',
      'keys[0].key',
      'below lease',
      'schedule[0]',
      'allowAddresses[0]',
      'did you mean batchSize',
    ])
      expect(message).toContain(name);
    expect(message).not.toContain('geheim');
  });

  it('ask for keys where webhooks are sent, and not of a producer', () => {
    expect(problemsOf(() => resolveWebhookOutboxOptions({}))).toContain('keys must be');
    expect(problemsOf(() => resolveWebhookOutboxOptions({ role: 'worker', keys: [] }))).toContain('keys must be');
    expect(resolveWebhookOutboxOptions({ role: 'producer' }).keys).toEqual([]);
    expect(problemsOf(() => resolveWebhookOutboxOptions({ keys: [keys[0]!, keys[0]!] }))).toContain('twice');
  });

  it('ask for keys of a producer that may have to send, and of one with a queue not', () => {
    const sendOnce = { role: 'producer', onPersistFailure: 'send-once' } as const;
    expect(problemsOf(() => resolveWebhookOutboxOptions(sendOnce))).toContain('needs keys');
    expect(resolveWebhookOutboxOptions({ ...sendOnce, keys }).onPersistFailure).toBe('send-once');
    expect(resolveWebhookOutboxOptions({ ...sendOnce, dispatch: 'queue' }).keys).toEqual([]);
    expect(resolveWebhookOutboxOptions({ keys }).onPersistFailure).toBe('throw');
  });

  it('are read from variables, keys as id:key,id:key', () => {
    const options = webhookOutboxOptionsFromEnv({
      BATON_WEBHOOK_OUTBOX_KEYS: `k1:${key},k2:${key}`,
      BATON_WEBHOOK_OUTBOX_SCHEDULE: '1s, 2m',
      BATON_WEBHOOK_OUTBOX_ALLOW_HTTP: 'true',
      BATON_WEBHOOK_OUTBOX_ALLOW_ADDRESSES: '127.0.0.0/8',
      BATON_WEBHOOK_OUTBOX_MAX_IN_FLIGHT: '4',
      BATON_WEBHOOK_OUTBOX_LEASE: '',
    });
    expect(options).toEqual({
      keys: [
        { id: 'k1', key },
        { id: 'k2', key },
      ],
      schedule: ['1s', '2m'],
      allowHttp: true,
      allowAddresses: ['127.0.0.0/8'],
      maxInFlight: 4,
    });
    expect(resolveWebhookOutboxOptions(options).scheduleMs).toEqual([1_000, 120_000]);
    const message = problemsOf(() => webhookOutboxOptionsFromEnv({ BATON_WEBHOOK_OUTBOX_KEYS: 'geheim' }));
    expect(message).toContain('BATON_WEBHOOK_OUTBOX_KEYS');
    expect(message).not.toContain('geheim');
  });

  it('say for each state how long it is kept', () => {
    expect(resolveWebhookOutboxOptions({ keys, retention: { delivered: 0, dead: '2d' } }).retention).toEqual({
      delivered: 0,
      failed: 2_592_000_000,
      dead: 172_800_000,
      abandoned: 2_592_000_000,
      parked: 2_592_000_000,
      expired: 2_592_000_000,
    });
    const options = webhookOutboxOptionsFromEnv({ BATON_WEBHOOK_OUTBOX_RETENTION_PARKED: '7d' });
    expect(options).toEqual({ retention: { parked: '7d' } });
    const wrong = { failed: -1, deliverd: '1d', parked: '20y' } as never;
    const message = problemsOf(() => resolveWebhookOutboxOptions({ keys, retention: wrong }));
    for (const part of ['retention.failed', 'deliverd', 'retention.parked']) expect(message).toContain(part);
    expect(problemsOf(() => resolveWebhookOutboxOptions({ keys, retention: '1d' as never }))).toContain('retention.');
  });

  it('have a variable each, but for the one that is code', () => {
    const resolved = Object.keys(resolveWebhookOutboxOptions({ keys })).map((name) => name.replace(/Ms$/, ''));
    const variables = new Set(WEBHOOK_OUTBOX_ENVIRONMENT.map(({ option }) => option.split('.')[0]));
    expect([...variables, 'onDead'].sort()).toEqual(resolved.sort());
  });
});
