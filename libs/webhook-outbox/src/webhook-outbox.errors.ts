import { BatonError } from '@nest-baton/core';
import type { DeliveryState } from './delivering/delivery.js';

/** The event's type, id, tenant or data cannot be sent. Nothing was written. */
export class EventInvalidError extends BatonError {
  override readonly code = 'EVENT_INVALID';
  /** Which event of a `sendMany`. */
  readonly index: number | undefined;

  constructor(message: string, options: OfOneEvent = {}) {
    super(message, options);
    this.index = options.index;
  }
}

/** The event's JSON is longer than `maxPayloadBytes`, or all of a `sendMany` are longer than one call takes. Nothing was written. */
export class PayloadTooLargeError extends BatonError {
  override readonly code = 'PAYLOAD_TOO_LARGE';
  /** Which event of a `sendMany`. */
  readonly index: number | undefined;

  constructor(message: string, options: OfOneEvent = {}) {
    super(message, options);
    this.index = options.index;
  }
}

/** An event with this id and other content is stored already. Nothing was written. */
export class EventConflictError extends BatonError {
  override readonly code = 'EVENT_CONFLICT';
  /** Which event of a `sendMany`. */
  readonly index: number | undefined;

  constructor(message: string, options: OfOneEvent = {}) {
    super(message, options);
    this.index = options.index;
  }
}

interface OfOneEvent {
  readonly cause?: unknown;
  readonly retryable?: boolean;
  readonly index?: number;
}

/**
 * The connection was lost while the event was being written: it may or may not be stored. Repeat `send` with `eventId` as `id`; a `sendMany`
 * with `eventIds`, which are in the order of its events.
 */
export class PersistUnknownError extends BatonError {
  override readonly code = 'PERSIST_UNKNOWN';
  readonly eventId: string;

  constructor(
    message: string,
    readonly eventIds: readonly string[],
    options: { readonly cause?: unknown } = {},
  ) {
    super(message, { ...options, retryable: true });
    this.eventId = eventIds[0] ?? '';
  }
}

/** An endpoint's URL, headers, types or secret are refused. Nothing was written. */
export class EndpointInvalidError extends BatonError {
  override readonly code = 'ENDPOINT_INVALID';
}

/** The key ring cannot open the secrets that are stored. The relay does not start: it would send unsigned or not at all. */
export class KeyRingInvalidError extends BatonError {
  override readonly code = 'KEY_RING_INVALID';
}

/** There is no such delivery, or it is not of the tenant that was asked for. */
export class DeliveryNotFoundError extends BatonError {
  override readonly code = 'DELIVERY_NOT_FOUND';
}

/** The delivery is in a state in which this cannot be done to it. Nothing was written. Retryable while it is `leased`: somebody is sending it. */
export class DeliveryStateError extends BatonError {
  override readonly code = 'DELIVERY_STATE';

  constructor(
    message: string,
    readonly state: DeliveryState,
  ) {
    super(message, { retryable: state === 'leased' });
  }
}

/** There is no such secret of the endpoint, it has expired, it is the last that does not expire, or there are too many. Nothing was written. */
export class EndpointSecretError extends BatonError {
  override readonly code = 'ENDPOINT_SECRET';
}

/** There is no such endpoint, it was deleted, or it is not of the tenant that was asked for. */
export class EndpointNotFoundError extends BatonError {
  override readonly code = 'ENDPOINT_NOT_FOUND';
}

/** The tenant has as many endpoints as `maxEndpointsPerTenant` allows. Nothing was written. */
export class EndpointLimitError extends BatonError {
  override readonly code = 'ENDPOINT_LIMIT';
}

/** The endpoint is disabled or deleted. Nothing was written. */
export class EndpointNotActiveError extends BatonError {
  override readonly code = 'ENDPOINT_NOT_ACTIVE';
}

/** `deliver` was called in a process whose role is `producer`: nothing there sends. */
export class NoRelayError extends BatonError {
  override readonly code = 'NO_RELAY';
}

/** A request that was received is not one of a sender who knows the secret, or not one of now. */
export class WebhookUnverifiedError extends BatonError {
  override readonly code = 'WEBHOOK_UNVERIFIED';

  constructor(
    readonly reason:
      'missing-header' | 'malformed-header' | 'timestamp-too-old' | 'timestamp-too-new' | 'no-matching-signature',
    message: string,
  ) {
    super(message);
  }
}

/** The bytes of a received request were not kept, so its signature cannot be checked: the application lacks `rawBody: true`. */
export class RawBodyMissingError extends BatonError {
  override readonly code = 'RAW_BODY_MISSING';
}
