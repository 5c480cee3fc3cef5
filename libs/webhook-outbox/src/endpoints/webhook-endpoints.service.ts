import { randomUUID } from 'node:crypto';
import { OptionsCheck, systemClock } from '@nest-baton/core';
import { Inject, Injectable } from '@nestjs/common';
import { isUuid } from '../deliveries/delivery-filter.js';
import type { PageOptions, TenantScope } from '../deliveries/stored-delivery.js';
import { DeliveryReporter } from '../operating/delivery-reporter.js';
import { type NewEvent, singleEvent } from '../producing/event-batch.js';
import { Resealing } from '../resealing/resealing.js';
import { ResealStore } from '../resealing/reseal-store.js';
import { OutboxDatabase } from '../schema/outbox-database.js';
import { shownLegacySignature } from '../signing/legacy-signature.js';
import { newKey, sealedPlace, type SignatureKind, verifierText } from '../signing/signing-key.js';
import { DueSignal } from '../waking/due-signal.js';
import {
  EndpointInvalidError,
  EndpointLimitError,
  EndpointNotActiveError,
  EndpointNotFoundError,
  EndpointSecretError,
} from '../webhook-outbox.errors.js';
import { OUTBOX_OPTIONS } from '../webhook-outbox.module-definition.js';
import type { ResolvedWebhookOutboxOptions } from '../webhook-outbox.options.js';
import { checkChange, checkEndpoint, checkSecret } from './endpoint-check.js';
import { endpointQuery, tenantOf } from './endpoint-query.js';
import { EndpointRecords } from './endpoint-records.js';
import type {
  CreatedEndpoint,
  Endpoint,
  EndpointChange,
  EndpointFilter,
  EndpointPage,
  NewEndpoint,
  RotatedSecret,
  RotateOptions,
  SentTest,
  TestEvent,
} from './endpoint.js';
import { EndpointStore, type NewEndpointRow } from './endpoint-store.js';
import { KeyRing } from './key-ring.js';
import { sealHeaders, sealLegacy } from './sealed-headers.js';
import { type NewSecret, type SecretsFound, SecretStore } from './secret-store.js';

/** Each is a signature in a header, of which receivers take only so much. */
const MOST_SECRETS = 32;

/** Of several changes at once one succeeds in each round. */
const MOST_TRIES = 100;

/**
 * Who gets webhooks.
 *
 * - With `{ tenant }` what is of another tenant is as if it did not exist; without, all tenants are meant.
 * - A change holds for every request that is started after it, in all processes; requests that run are not cut.
 */
@Injectable()
export class WebhookEndpointsService {
  private readonly records: EndpointRecords;
  private readonly secrets: SecretStore;

  constructor(
    @Inject(OUTBOX_OPTIONS) private readonly options: ResolvedWebhookOutboxOptions,
    @Inject(OutboxDatabase) private readonly database: OutboxDatabase,
    @Inject(KeyRing) private readonly ring: KeyRing,
    @Inject(DueSignal) private readonly due: DueSignal,
    @Inject(DeliveryReporter) private readonly reporter: DeliveryReporter,
  ) {
    const { dispatch, handOffGraceMs } = options;
    this.secrets = new SecretStore(database, database.schema);
    this.records = new EndpointRecords(database, database.schema, dispatch === 'queue' ? handOffGraceMs : undefined);
  }

  /**
   * Subscribes a URL. Events sent from the return on reach it; earlier ones do not. The answer holds the secret, which is stored sealed and
   * never given out again.
   *
   * @throws EndpointInvalidError when the URL, types, headers or secret are refused.
   * @throws EndpointLimitError when the tenant has as many as `maxEndpointsPerTenant`.
   * @throws KeyRingInvalidError when no key is configured.
   */
  async create(endpoint: NewEndpoint): Promise<CreatedEndpoint> {
    const { secret = newKey('v1'), ...checked } = checkEndpoint(endpoint, this.options);
    await this.database.prepare();
    const id = randomUUID();
    const { headers, legacySignature, signatures, ...named } = checked;
    await this.insert({
      id,
      ...named,
      headerNames: Object.keys(headers),
      headers: sealHeaders(this.ring, headers, id),
      legacySignature: legacySignature && shownLegacySignature(legacySignature),
      legacy: sealLegacy(this.ring, legacySignature, id),
      secrets: signatures.map((kind) => this.sealed(kind, kind === 'v1' ? secret : newKey(kind), id)),
    });
    return { ...(await this.get(id)), secret: verifierText('v1', secret) };
  }

  /** Those that are not deleted, in pages, in order of id. @throws OptionsInvalidError */
  async list(filter?: EndpointFilter, page?: PageOptions): Promise<EndpointPage> {
    const query = endpointQuery(filter, page);
    await this.database.prepare();
    const found = await this.records.list({ ...query, limit: query.limit + 1 });
    const endpoints = found.slice(0, query.limit);
    return { endpoints, nextCursor: found.length > query.limit ? (endpoints.at(-1)?.id ?? null) : null };
  }

  /** @throws EndpointNotFoundError | OptionsInvalidError */
  async get(id: string, scope?: TenantScope): Promise<Endpoint> {
    return this.on(id, scope, (tenant) => this.records.find(id, tenant));
  }

  /**
   * Requests that are not started yet go to it as it is then, those of earlier events too. Which events it gets is decided by the types of the moment
   * when each is sent.
   *
   * @throws EndpointNotFoundError | EndpointInvalidError | OptionsInvalidError
   */
  async update(id: string, change: EndpointChange, scope?: TenantScope): Promise<Endpoint> {
    const checked = checkChange(change, this.options);
    const { headers, legacySignature = null } = checked;
    const sealed = {
      headers: headers === undefined ? null : sealHeaders(this.ring, headers, boundTo(id)),
      legacy: sealLegacy(this.ring, legacySignature, boundTo(id)),
    };
    if (checked.onDead !== undefined && (await this.get(id, scope)).order === 'none')
      throw new EndpointInvalidError("onDead is for endpoints with order: 'strict'.");
    const updated = await this.on(id, scope, (tenant) => this.records.update(id, tenant, checked, sealed));
    if (checked.onDead === 'skip') this.due.tell();
    return updated;
  }

  /** Nothing is sent to it from now on; what is open is parked, and what is sent meanwhile too. @throws EndpointNotFoundError | OptionsInvalidError */
  async disable(id: string, scope?: TenantScope): Promise<Endpoint> {
    const disabled = await this.on(id, scope, (tenant) => this.records.disable(id, tenant));
    this.due.tellOff();
    return disabled;
  }

  /**
   * Sends to it again, with a clean slate: breaker, pause and failures are forgotten. What was parked meanwhile waits for a replay.
   *
   * @throws EndpointNotFoundError | OptionsInvalidError
   */
  async enable(id: string, scope?: TenantScope): Promise<Endpoint> {
    const enabled = await this.on(id, scope, (tenant) => this.records.enable(id, tenant));
    this.due.tell();
    return enabled;
  }

  /**
   * For good: what is open or parked is abandoned, requests that run end as they do, and no call finds it any more.
   *
   * @throws EndpointNotFoundError | OptionsInvalidError
   */
  async delete(id: string, scope?: TenantScope): Promise<void> {
    await this.untilWritten(
      id,
      async () => (await this.on(id, scope, (tenant) => this.records.delete(id, tenant))) || undefined,
    );
    this.due.tellOff();
  }

  /**
   * Sends an event to this endpoint alone, whatever types it wants: stored, signed, tried again and recorded as any other.
   *
   * @throws EndpointNotFoundError | EndpointNotActiveError | EventInvalidError | PayloadTooLargeError | OptionsInvalidError
   */
  async sendTest(id: string, event: TestEvent = {}, scope?: TenantScope): Promise<SentTest> {
    new OptionsCheck<TestEvent>('sendTest', event, ['type', 'data']).finish();
    const { tenant } = await this.get(id, scope);
    const { type = 'webhook.test', data = {} } = event;
    const { events } = singleEvent({ type, data, tenant }, systemClock.now(), this.options.maxPayloadBytes);
    const [test] = events as [NewEvent];
    const deliveryId = await this.records.insertTest(id, test);
    if (deliveryId === undefined)
      throw new EndpointNotActiveError(`Endpoint ${id} is not active; enable it, then send a test.`);
    this.due.tell();
    const { key, outboxId } = test;
    const sent: SentTest = { id: key, outboxId, deliveries: 1, duplicate: false, state: 'persisted', deliveryId };
    this.reporter.sent(sent);
    return sent;
  }

  /**
   * Makes a new secret. Requests that are started from now on are signed with it and, until they expire, with the older ones too, so that a receiver
   * who knows any of them takes them. Those of the other kind are not touched.
   *
   * @throws EndpointNotFoundError | EndpointInvalidError | EndpointSecretError | OptionsInvalidError | KeyRingInvalidError
   */
  async rotateSecret(id: string, options?: RotateOptions, scope?: TenantScope): Promise<RotatedSecret> {
    const { kind, secret, expireOldMs } = rotation(options);
    const sealed = this.sealed(kind, secret, boundTo(id));
    return this.changeSecrets(id, scope, async ({ version, secrets }) => {
      if (secrets.length >= MOST_SECRETS && expireOldMs > 0)
        throw new EndpointSecretError(`Endpoint ${id} has ${secrets.length} secrets; revoke some, then rotate.`);
      const rotated = await this.secrets.rotate(id, version, sealed, expireOldMs);
      return rotated && { ...rotated, secret: verifierText(kind, secret) };
    });
  }

  /**
   * Ends a secret now: no request that is started after this is signed with it, in any process. Requests that run are not cut. The last one of `v1` that
   * does not expire cannot be revoked: rotate with `expireOldAfter: 0`. With the last one of `v1a` the endpoint has no such signatures any more.
   *
   * @throws EndpointNotFoundError | EndpointSecretError | OptionsInvalidError
   */
  async revokeSecret(id: string, secretId: string, scope?: TenantScope): Promise<void> {
    await this.changeSecrets(id, scope, async ({ version, secrets }) => {
      const revoked = secrets.find((one) => one.id === secretId);
      if (revoked === undefined) throw new EndpointSecretError(`Endpoint ${id} has no such secret.`);
      if (!secrets.some(({ id: other, kind, expiresAt }) => other !== secretId && kind === 'v1' && expiresAt === null))
        throw new EndpointSecretError(`It is the last secret of endpoint ${id} that does not expire; rotate instead.`);
      return (await this.secrets.revoke(id, version, secretId)) ? true : undefined;
    });
  }

  /**
   * Seals whatever is not sealed with the first of `keys` with it, of all endpoints, a page at a time; then the other keys are needed no more. May be
   * repeated, also after an end in between. Returns how many secrets and sets of headers were sealed anew.
   *
   * @throws KeyRingInvalidError when some do not open, after the others; EndpointSecretError (retryable); the reason of `signal`.
   */
  async reseal(options: { readonly signal?: AbortSignal } = {}): Promise<number> {
    new OptionsCheck<typeof options>('reseal', options, ['signal']).finish();
    await this.database.prepare();
    return new Resealing(new ResealStore(this.database, this.database.schema), this.ring).run(options.signal);
  }

  private insert(row: NewEndpointRow): Promise<void> {
    const { maxEndpointsPerTenant } = this.options;
    return this.database.transaction(async (on) => {
      const store = new EndpointStore(on, this.database.schema);
      if (!(await store.hasRoom(row.tenant, maxEndpointsPerTenant)))
        throw new EndpointLimitError(
          `The tenant has ${maxEndpointsPerTenant} endpoints; delete some, or raise maxEndpointsPerTenant.`,
        );
      await store.insert(row);
    });
  }

  private sealed(kind: SignatureKind, bytes: Buffer, endpointId: string): NewSecret {
    const publicKey = kind === 'v1' ? null : verifierText(kind, bytes);
    return { id: randomUUID(), kind, publicKey, ...this.ring.seal(bytes, sealedPlace(kind, endpointId)) };
  }

  private changeSecrets<T>(
    id: string,
    scope: TenantScope | undefined,
    change: (found: SecretsFound) => Promise<T | undefined>,
  ): Promise<T> {
    return this.untilWritten(id, async () =>
      change(await this.on(id, scope, (tenant) => this.records.secrets(id, tenant))),
    );
  }

  /** Again from what is there then, when somebody else has changed the endpoint since it was read. */
  private async untilWritten<T>(id: string, write: () => Promise<T | undefined>): Promise<T> {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const written = await write();
      if (written !== undefined) return written;
    }
    throw new EndpointSecretError(`Endpoint ${id} is being changed by others all the time.`, { retryable: true });
  }

  private async on<T>(
    id: string,
    scope: TenantScope | undefined,
    work: (tenant: string | undefined) => Promise<T | undefined>,
  ): Promise<T> {
    const tenant = tenantOf(scope);
    await this.database.prepare();
    const found = isUuid(id) ? await work(tenant) : undefined;
    if (found === undefined) throw new EndpointNotFoundError(`There is no endpoint ${isUuid(id) ? id : 'of that id'}.`);
    return found;
  }
}

/** As the database writes it, and as it will be opened. */
function boundTo(id: string): string {
  return typeof id === 'string' ? id.toLowerCase() : '';
}

/** @throws OptionsInvalidError | EndpointInvalidError */
function rotation(options: RotateOptions | undefined): { kind: SignatureKind; secret: Buffer; expireOldMs: number } {
  const check = new OptionsCheck<RotateOptions>('rotateSecret', options, ['kind', 'secret', 'expireOldAfter']);
  const kind = check.oneOf('kind', 'v1', ['v1', 'v1a']);
  const expireOldMs = check.duration('expireOldAfter', '24h', { max: 365 * 86_400_000 });
  check.finish();
  const given = options?.secret;
  return { kind, secret: given === undefined ? newKey(kind) : checkSecret(given, kind), expireOldMs };
}
