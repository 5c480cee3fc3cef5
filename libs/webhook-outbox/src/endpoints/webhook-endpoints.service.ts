import { randomBytes, randomUUID } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { OutboxDatabase } from '../schema/outbox-database.js';
import { secretText } from '../sending/signature.js';
import { OUTBOX_OPTIONS } from '../webhook-outbox.module-definition.js';
import type { ResolvedWebhookOutboxOptions } from '../webhook-outbox.options.js';
import { checkEndpoint } from './endpoint-check.js';
import type { CreatedEndpoint, NewEndpoint } from './endpoint.js';
import { EndpointStore } from './endpoint-store.js';
import { KeyRing } from './key-ring.js';

const SECRET_BYTES = 32;

/** Who gets webhooks. */
@Injectable()
export class WebhookEndpointsService {
  private readonly store: EndpointStore;

  constructor(
    @Inject(OUTBOX_OPTIONS) private readonly options: ResolvedWebhookOutboxOptions,
    @Inject(OutboxDatabase) private readonly database: OutboxDatabase,
    @Inject(KeyRing) private readonly ring: KeyRing,
  ) {
    this.store = new EndpointStore(database, database.schema);
  }

  /**
   * Subscribes a URL. Events sent from the return on reach it; earlier ones do not. The answer holds the secret, which is stored sealed and
   * never given out again.
   *
   * @throws EndpointInvalidError when the URL, types, headers or secret are refused.
   * @throws KeyRingInvalidError when no key is configured.
   */
  async create(endpoint: NewEndpoint): Promise<CreatedEndpoint> {
    const { secret = randomBytes(SECRET_BYTES), ...checked } = checkEndpoint(endpoint, this.options);
    await this.database.prepare();
    const id = randomUUID();
    const createdAt = await this.store.insert({ id, ...checked, ...this.ring.seal(secret, id) });
    return { id, ...checked, createdAt, secret: secretText(secret) };
  }
}
