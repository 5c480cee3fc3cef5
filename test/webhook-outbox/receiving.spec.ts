import { type AddressInfo } from 'node:net';
import { Body, Controller, Get, type INestApplication, Module, Post, Req } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { waitFor } from '@nest-baton/testing';
import { type IncomingWebhook, VerifyWebhook } from '@nest-baton/webhook-outbox/receiving';
import { Webhook } from 'standardwebhooks';
import { OutboxWorld } from './support/outbox-world.js';

const SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
const NEXT = `whsec_${Buffer.alloc(32, 2).toString('base64')}`;

const heard: { readonly path: string; readonly id: string | undefined; readonly body: unknown }[] = [];
const hear = (path: string, { webhook }: IncomingWebhook, body: unknown) => heard.push({ path, id: webhook?.id, body });

/** What a user of the guard writes. `current` changes as secrets do. */
const current: { secrets: string[] | Error } = { secrets: [SECRET] };

@Controller()
class HooksController {
  @Post('fixed')
  @VerifyWebhook({ secrets: [NEXT, SECRET] })
  fixed(@Req() request: IncomingWebhook, @Body() body: unknown): void {
    hear('fixed', request, body);
  }

  @Post('provided')
  @VerifyWebhook({ secretsFrom: 'WEBHOOK_SECRETS', tolerance: '1m' })
  provided(@Req() request: IncomingWebhook, @Body() body: unknown): void {
    hear('provided', request, body);
  }

  @Post('of/:customer')
  @VerifyWebhook({
    secrets: async ({ params }) => {
      if (current.secrets instanceof Error) throw current.secrets;
      return (params as { customer: string }).customer === 'known' ? current.secrets : [];
    },
  })
  looked(@Req() request: IncomingWebhook, @Body() body: unknown): void {
    hear('of', request, body);
  }

  @Get('open')
  open(): string {
    return 'anybody';
  }
}

@Module({ controllers: [HooksController], providers: [{ provide: 'WEBHOOK_SECRETS', useValue: SECRET }] })
class ReceivingModule {}

const apps: INestApplication[] = [];
beforeEach(() => {
  heard.length = 0;
  current.secrets = [SECRET];
});
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close();
});

async function receive(module: unknown = ReceivingModule, options: { rawBody?: boolean } = { rawBody: true }) {
  const errors: unknown[][] = [];
  const quiet = () => undefined;
  const error = (...words: unknown[]) => void errors.push(words);
  const logger = { log: quiet, warn: quiet, debug: quiet, error };
  const app = await NestFactory.create(module as typeof ReceivingModule, { ...options, logger, abortOnError: false });
  apps.push(app);
  await app.listen(0, '127.0.0.1');
  const { port } = (app.getHttpServer() as { address(): AddressInfo }).address();
  return { url: `http://127.0.0.1:${port}`, errors };
}

interface Signing {
  readonly secret?: string;
  readonly id?: string;
  readonly ageSeconds?: number;
  readonly headers?: Record<string, string>;
}

async function post(url: string, body: string | undefined, signing: Signing = {}) {
  const { secret = SECRET, id = 'msg_1', ageSeconds = 0, headers = {} } = signing;
  const timestamp = new Date(new Date().getTime() - ageSeconds * 1_000);
  const answer = await fetch(url, {
    method: 'POST',
    body,
    headers: {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(timestamp.getTime() / 1_000)),
      'webhook-signature': new Webhook(secret).sign(id, timestamp, body ?? ''),
      ...headers,
    },
  });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? undefined : (JSON.parse(text) as Record<string, unknown>) };
}

describe('a handler with @VerifyWebhook()', () => {
  it('gets what the outbox sends to it, under the id that stays the same', async () => {
    const world = await OutboxWorld.create();
    const { url } = await receive();
    const app = await world.start();
    await app.endpoints.create({ url: `${url}/fixed`, secret: SECRET });
    await app.outbox.send({ type: 'order.created', data: { text: 'ä€😀 \u0000' } });
    await waitFor(() => heard.length === 1, { description: 'the webhook' });
    expect(heard[0]).toMatchObject({ path: 'fixed', body: { type: 'order.created', data: { text: 'ä€😀 \u0000' } } });
    expect(heard[0]!.id).toMatch(/^msg_[0-9a-f]{32}$/);
    expect(await world.settled(1)).toMatchObject([{ state: 'delivered', last_status: 201 }]);
    await world.stop();
  });

  it('gets what the reference library signs, with the old, the new and a provided secret', async () => {
    const { url } = await receive();
    expect(await post(`${url}/fixed`, '{ "a" : 1 }')).toMatchObject({ status: 201 });
    expect(await post(`${url}/fixed`, '{"a":2}', { secret: NEXT })).toMatchObject({ status: 201 });
    expect(await post(`${url}/provided`, '{"a":3}')).toMatchObject({ status: 201 });
    expect(await post(`${url}/of/known`, '{"a":4}')).toMatchObject({ status: 201 });
    expect(await post(`${url}/fixed`, undefined)).toMatchObject({ status: 201 });
    expect(heard.slice(0, 4).map(({ body }) => body)).toEqual([{ a: 1 }, { a: 2 }, { a: 3 }, { a: 4 }]);
    expect(heard[0]!.id).toBe('msg_1');
  });

  it.each([
    ['a stranger', { secret: `whsec_${Buffer.alloc(32, 3).toString('base64')}` }, 401, 'no-matching-signature'],
    ['an old request', { ageSeconds: 302 }, 401, 'timestamp-too-old'],
    ['a request of the future', { ageSeconds: -302 }, 401, 'timestamp-too-new'],
    ['a header that is not there', { headers: { 'webhook-id': '' } }, 400, 'missing-header'],
    ['a timestamp that is none', { headers: { 'webhook-timestamp': 'now' } }, 400, 'malformed-header'],
  ])('is not called for %s', async (_who, signing: Signing, status, reason) => {
    const { url, errors } = await receive();
    const answer = await post(`${url}/fixed`, '{"a":1}', signing);
    expect(answer).toMatchObject({ status, body: { statusCode: status, code: 'WEBHOOK_UNVERIFIED', reason } });
    expect(heard).toEqual([]);
    expect(errors).toEqual([]);
  });

  it('is not called for a body that is not the signed one, though it means the same', async () => {
    const { url } = await receive();
    const signature = new Webhook(SECRET).sign('msg_1', new Date(), '{"a":1}');
    const answer = await post(`${url}/fixed`, '{ "a": 1 }', { headers: { 'webhook-signature': signature } });
    expect(answer).toMatchObject({ status: 401, body: { reason: 'no-matching-signature' } });
    expect(heard).toEqual([]);
  });

  it('has the tolerance that it asks for', async () => {
    const { url } = await receive();
    expect(await post(`${url}/provided`, '{}', { ageSeconds: 62 })).toMatchObject({ status: 401 });
    expect(await post(`${url}/provided`, '{}', { ageSeconds: 30 })).toMatchObject({ status: 201 });
  });

  it('lets nothing through without the raw body: 500, and the log has the remedy', async () => {
    const { url, errors } = await receive(ReceivingModule, {});
    const answer = await post(`${url}/fixed`, '{"a":1}');
    expect(answer).toMatchObject({ status: 500, body: { code: 'RAW_BODY_MISSING' } });
    expect(JSON.stringify(answer.body)).not.toContain('rawBody');
    expect(heard).toEqual([]);
    expect(JSON.stringify(errors)).toContain('{ rawBody: true }');
    expect(await (await fetch(`${url}/open`)).text()).toBe('anybody');
  });

  it('lets nothing through of a content type that nobody parses, nor in chunks', async () => {
    const { url } = await receive();
    const headers = { 'content-type': 'text/plain' };
    expect(await post(`${url}/fixed`, 'x', { headers })).toMatchObject({ status: 500 });
    expect(heard).toEqual([]);
  });

  it('lets nothing through when there is no secret, or its source fails; the sender may try again', async () => {
    const { url, errors } = await receive();
    const none = await post(`${url}/of/unknown`, '{}');
    expect(none).toMatchObject({ status: 500, body: { code: 'OPTIONS_INVALID' } });
    expect(JSON.stringify(errors)).toContain('at least one secret');
    current.secrets = new Error('the vault is away');
    const away = await post(`${url}/of/known`, '{}');
    expect(away).toMatchObject({ status: 500 });
    expect(JSON.stringify(away.body)).not.toContain('vault');
    expect(heard).toEqual([]);
  });

  it('tells at once which options are wrong, and at the start which secrets of a provider are', async () => {
    for (const options of [{}, { secrets: 'whsec_x' }, { secrets: SECRET, secretsFrom: 'X' }, { secret: SECRET }])
      expect(() => VerifyWebhook(options as object)).toThrow(expect.objectContaining({ code: 'OPTIONS_INVALID' }));
    expect(() => VerifyWebhook({ secrets: SECRET, tolerance: '2d' })).toThrow(/tolerance must be at most/);

    @Module({ controllers: [HooksController], providers: [{ provide: 'WEBHOOK_SECRETS', useValue: 'whsec_short' }] })
    class WrongModule {}
    await expect(receive(WrongModule)).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
    @Module({ controllers: [HooksController] })
    class MissingModule {}
    await expect(receive(MissingModule)).rejects.toThrow(/WEBHOOK_SECRETS/);
  });
});
