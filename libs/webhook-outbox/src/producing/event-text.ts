import { createHash } from 'node:crypto';
import { isStoredText } from '../schema/stored-text.js';
import { EventInvalidError, PayloadTooLargeError } from '../webhook-outbox.errors.js';
import type { WebhookEvent } from './webhook-event.js';

/** An event as it is stored. */
export interface EventText {
  readonly type: string;
  readonly tenant: string;
  readonly body: string;
  readonly contentHash: Buffer;
  /** `null`: it has no order. */
  readonly orderKey: string | null;
}

const TYPE = /^\w+(\.\w+)*$/;
const MAX_TYPE_LENGTH = 128;
const MAX_NAME_LENGTH = 256;

/**
 * Fixes the bytes that every attempt sends; pure. The hash covers type, data and order key and not the timestamp, so that a repetition a second later
 * is recognised; data whose keys come in another order is other data.
 *
 * @throws EventInvalidError when type, tenant, id, order key or data cannot be sent.
 * @throws PayloadTooLargeError when the body is longer than `maxPayloadBytes`.
 */
export function eventText(event: WebhookEvent, now: number, maxPayloadBytes: number): EventText {
  // Callers without types, and lists with holes.
  const {
    type,
    tenant = '',
    id,
    orderKey,
  } = (event as WebhookEvent | null | undefined) ?? ({} as Partial<WebhookEvent>);
  if (typeof type !== 'string' || type.length > MAX_TYPE_LENGTH || !TYPE.test(type))
    throw new EventInvalidError(
      `type must be words of letters, digits and underscores with dots between, at most ${MAX_TYPE_LENGTH} characters, such as run.done.`,
    );
  if (!isName(tenant)) throw new EventInvalidError(`tenant must be a text of at most ${MAX_NAME_LENGTH} characters.`);
  if (id !== undefined && (!isName(id) || id === ''))
    throw new EventInvalidError(`id must be a text of 1 to ${MAX_NAME_LENGTH} characters.`);
  if (orderKey !== undefined && (!isName(orderKey) || orderKey === ''))
    throw new EventInvalidError(`orderKey must be a text of 1 to ${MAX_NAME_LENGTH} characters.`);
  const data = jsonOf(event.data);
  const body = `{"type":${JSON.stringify(type)},"timestamp":"${new Date(now).toISOString()}","data":${data}}`;
  const bytes = Buffer.byteLength(body);
  if (bytes > maxPayloadBytes)
    throw new PayloadTooLargeError(
      `The event's body has ${bytes} bytes, above maxPayloadBytes (${maxPayloadBytes}); send a reference instead of the data.`,
    );
  // Neither type nor JSON has a line of its own.
  const content = orderKey === undefined ? `${type}\n${data}` : `${type}\n${data}\n${orderKey}`;
  const contentHash = createHash('sha256').update(content).digest();
  return { type, tenant, body, contentHash, orderKey: orderKey ?? null };
}

function jsonOf(data: unknown): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(data);
  } catch (cause) {
    throw new EventInvalidError('data cannot be written as JSON (a cycle, a BigInt, or a toJSON that throws).', {
      cause,
    });
  }
  if (json === undefined) throw new EventInvalidError('data is missing, or is nothing that JSON can hold.');
  return json;
}

function isName(text: unknown): text is string {
  return isStoredText(text, MAX_NAME_LENGTH);
}
