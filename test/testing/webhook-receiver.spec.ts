import { WebhookReceiver } from '@nest-baton/testing';
import { Webhook } from 'standardwebhooks';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

describe('WebhookReceiver', () => {
  let receiver: WebhookReceiver;

  beforeEach(async () => {
    receiver = await WebhookReceiver.start();
  });

  afterEach(() => receiver.stop());

  function post(body: string | Uint8Array, headers: Record<string, string> = {}, path = ''): Promise<Response> {
    return fetch(receiver.url + path, { method: 'POST', body: body as string, headers });
  }

  it('keeps every request to the byte, and answers 204', async () => {
    const body = Uint8Array.from([0, 255, 10, 13]);
    expect((await post(body, { 'webhook-id': 'a' }, 'deep/path?x=1')).status).toBe(204);
    const [request] = receiver.requests;
    expect(request).toMatchObject({ method: 'POST', path: '/deep/path?x=1', headers: { 'webhook-id': 'a' } });
    expect([...(request?.body ?? [])]).toEqual([...body]);
    expect(Math.abs((request?.receivedAt ?? 0) - new Date().getTime())).toBeLessThan(5000);
  });

  it('answers as scripted, one request after the other, and then as ever', async () => {
    receiver.answer([{ status: 503, headers: { 'retry-after': '7' }, body: 'later' }, undefined, { status: 410 }]);
    const first = await post('1');
    expect([first.status, first.headers.get('retry-after'), await first.text()]).toEqual([503, '7', 'later']);
    const rest = [];
    for (const body of ['2', '3', '4']) rest.push((await post(body)).status);
    expect(rest).toEqual([204, 410, 204]);
    receiver.answer({ status: 500 });
    expect([(await post('5')).status, (await post('6')).status]).toEqual([500, 500]);
    receiver.answer(undefined);
    expect((await post('7')).status).toBe(204);
    expect(receiver.requests.map(({ body }) => body.toString())).toEqual(['1', '2', '3', '4', '5', '6', '7']);
  });

  it('keeps what it drops or never answers, and answers late when told so', async () => {
    receiver.answer([{ instead: 'reset' }, { instead: 'never' }, { delayMs: 120, status: 200 }]);
    await expect(post('dropped')).rejects.toMatchObject({ cause: { code: 'ECONNRESET' } });
    const unanswered = fetch(receiver.url, { method: 'POST', body: 'never', signal: AbortSignal.timeout(100) });
    await expect(unanswered).rejects.toMatchObject({ name: 'TimeoutError' });
    const begun = performance.now();
    expect((await post('late')).status).toBe(200);
    expect(performance.now() - begun).toBeGreaterThanOrEqual(115);
    expect(receiver.requests.map(({ body }) => body.toString())).toEqual(['dropped', 'never', 'late']);
  });

  it('believes a signature of the reference library, and neither another secret, nor another body, nor none', async () => {
    const body = '{"type":"run.done"}';
    const now = new Date();
    const signature = new Webhook(SECRET).sign('msg_1', now, body);
    const headers = {
      'webhook-id': 'msg_1',
      'webhook-timestamp': `${Math.floor(now.getTime() / 1000)}`,
      'webhook-signature': signature,
    };
    await post(body, headers);
    await post(`${body} `, headers);
    await post(body);
    const [signed, altered, bare] = receiver.requests;
    if (!signed || !altered || !bare) throw new Error('three requests were sent');
    expect(receiver.verify(signed, SECRET)).toBe(true);
    expect(receiver.verify(signed, 'whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=')).toBe(false);
    expect(receiver.verify(altered, SECRET)).toBe(false);
    expect(receiver.verify(bare, SECRET)).toBe(false);
  });

  it('stops although a request was never answered', async () => {
    receiver.answer({ instead: 'never' });
    const asked = post('x').catch(() => 'ended');
    while (receiver.requests.length === 0) await new Promise(setImmediate);
    await receiver.stop();
    expect(await asked).toBe('ended');
  });
});
