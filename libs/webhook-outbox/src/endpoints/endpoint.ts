import type { Duration } from '@nest-baton/core';
import type { EndpointLimits } from '../limiting/endpoint-limits.js';
import type { EndpointOrder } from '../ordering/endpoint-order.js';
import type { SentEvent } from '../producing/webhook-event.js';
import type { LegacySignature, ShownLegacySignature } from '../signing/legacy-signature.js';
import type { SignatureKind } from '../signing/signing-key.js';

/** Where events go. */
export interface NewEndpoint extends EndpointLimits, EndpointOrder {
  /** `https:` only, unless `allowHttp`; without credentials; not an address that the guard refuses. */
  readonly url: string;
  /** Event types wanted: exact, or with `*` for any characters (`run.*`). Default `['*']`. */
  readonly types?: readonly string[];
  /** Default `''`. */
  readonly tenant?: string;
  /** Sent with each request. Names that this module sets, or that HTTP reserves, are refused. */
  readonly headers?: Readonly<Record<string, string>>;
  /** `whsec_` and 24 to 64 bytes in base64. Default: 32 random bytes. */
  readonly secret?: string;
  /** With `v1a` each request is also signed by ed25519, with a key of the endpoint's own; see `publicKey` of its secrets. Default `['v1']`. */
  readonly signatures?: readonly ['v1'] | readonly ['v1', 'v1a'];
  /** Default: none. */
  readonly legacySignature?: LegacySignature | null;
}

/**
 * What is left out stays as it is; `headers`, `types` and `legacySignature` are replaced as a whole. A limit that is `null` is the module's again, and a
 * `legacySignature` that is `null` is sent no more.
 */
export type EndpointChange = Partial<Pick<NewEndpoint, 'url' | 'types' | 'headers' | 'legacySignature' | 'onDead'>> &
  EndpointLimits;

export type EndpointStanding = 'active' | 'disabled' | 'deleted';

/** A secret as it may be shown. */
export interface EndpointSecret {
  readonly id: string;
  readonly kind: SignatureKind;
  /** Of `v1a`: `whpk_...`, for the receiver. */
  readonly publicKey: string | null;
  readonly createdAt: Date;
  /** Until then requests are signed with it too; `null`: until it is rotated or revoked. */
  readonly expiresAt: Date | null;
}

export interface RotateOptions {
  /** Which of the two is rotated. An endpoint without `v1a` has it from then on. Default `v1`. */
  readonly kind?: SignatureKind;
  /** `whsec_` and 24 to 64 bytes in base64; of `v1a` `whsk_` and the 32 bytes of an ed25519 key, alone or with its public key. Default: a random one. */
  readonly secret?: string;
  /**
   * How long the older ones go on to sign as well: as long as the receiver takes to know the new one. Too small and it refuses requests; too large and one
   * that leaked is of use for longer. 0: not at all. Default 24 h, at most 1 year.
   */
  readonly expireOldAfter?: Duration;
}

/** `secret`: what the receiver is given. Of `v1` shown once; of `v1a` the public key, while the private one is never shown. */
export type RotatedSecret = EndpointSecret & { readonly secret: string };

export interface Endpoint {
  readonly id: string;
  readonly url: string;
  readonly types: readonly string[];
  readonly tenant: string;
  /** In lower case. Their values may be credentials and are never given out. */
  readonly headerNames: readonly string[];
  /** Those that sign: of `v1`, then of `v1a`, the newest first. */
  readonly secrets: readonly EndpointSecret[];
  /** What its requests are signed by. */
  readonly signatures: readonly SignatureKind[];
  readonly legacySignature: ShownLegacySignature | null;
  /** `null`: as the module's options say. */
  readonly scheduleMs: readonly number[] | null;
  /** `null`: as the module's options say. */
  readonly maxInFlight: number | null;
  /** `null`: none. */
  readonly rate: { readonly perSecond: number; readonly burst: number } | null;
  /** `null`: as many as the processes make of `maxInFlight`. */
  readonly globalMaxInFlight: number | null;
  readonly order: 'none' | 'strict';
  /** `null` without an order. */
  readonly onDead: 'halt' | 'skip' | null;
  readonly state: EndpointStanding;
  /** `gone`: it answered 410; `failing`: nothing but failures for `disableAfter`; `requested`: by `disable()`. */
  readonly disabledReason: string | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Shown once: the secret is stored sealed and never given out again. */
export type CreatedEndpoint = Endpoint & { readonly secret: string };

export interface EndpointFilter {
  /** Left out: all tenants. */
  readonly tenant?: string;
  /** Default: those that are not deleted. */
  readonly state?: EndpointStanding | readonly EndpointStanding[];
}

/** In order of id. */
export interface EndpointPage {
  readonly endpoints: readonly Endpoint[];
  /** For the next page; `null` after the last. */
  readonly nextCursor: string | null;
}

/** What a test is about; both parts have defaults. */
export interface TestEvent {
  /** Sent whatever types the endpoint wants. Default `webhook.test`. */
  readonly type?: string;
  /** Default `{}`. */
  readonly data?: unknown;
}

/** A test that is on its way as any other event: what became of it is said by `WebhookDeliveriesService.get(deliveryId)`. */
export type SentTest = SentEvent & { readonly deliveryId: string };
