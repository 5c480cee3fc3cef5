/** Where events go. */
export interface NewEndpoint {
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
}

export interface Endpoint {
  readonly id: string;
  readonly url: string;
  readonly types: readonly string[];
  readonly tenant: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly createdAt: Date;
}

/** Shown once: the secret is stored sealed and never given out again. */
export type CreatedEndpoint = Endpoint & { readonly secret: string };
