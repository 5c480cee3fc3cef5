/** What came back of one request. */
export type Answer =
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly retryAfter: string | undefined;
      /** `webhook-delivery`, several lines joined by commas. */
      readonly control?: string | undefined;
      readonly text: string;
    }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'network'; readonly error: string }
  | { readonly kind: 'refused'; readonly error: string }
  /** `signal` aborted it; whether the receiver saw it is unknown. */
  | { readonly kind: 'cut' };
