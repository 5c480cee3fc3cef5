import { createHmac } from 'node:crypto';
import { Agent } from 'undici';
import { PER_ENDPOINT, SECRET } from './queue-subject.js';

const KEY = Buffer.from(SECRET.slice('whsec_'.length), 'base64');

/** How the floor and the peers send: kept-alive connections of undici and a Standard Webhooks signature, as our module does. */
export class SignedPost {
  private readonly agent = new Agent({ connections: 2 * PER_ENDPOINT, pipelining: 1 });

  /** @throws Error unless the answer is a 2xx. */
  async send(url: string, id: string, body: string): Promise<void> {
    const { origin, pathname } = new URL(url);
    const timestamp = Math.floor(Date.now() / 1_000);
    const signature = createHmac('sha256', KEY).update(`${id}.${timestamp}.`).update(body).digest('base64');
    const response = await this.agent.request({
      origin,
      path: pathname,
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': `v1,${signature}`,
      },
      body,
    });
    await response.body.dump();
    if (response.statusCode >= 300) throw new Error(`the receiver answered ${response.statusCode}`);
  }

  stop(): Promise<void> {
    return this.agent.destroy();
  }
}
