/** What came back of one request. */
export type Answer =
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly retryAfter: string | undefined;
      /** `webhook-delivery`, several lines joined by commas. */
      readonly control?: string | undefined;
      /** The beginning of the body, enough for what is stored of it; of a success nothing is. */
      readonly text: string;
    }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'network'; readonly error: string }
  | { readonly kind: 'refused'; readonly error: string }
  /** `signal` aborted it; whether the receiver saw it is unknown. */
  | { readonly kind: 'cut' };
