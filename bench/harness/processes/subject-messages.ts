import type { Sample } from '../measuring/pairs.js';

/** What a subject is told; everything here crosses a process border as JSON. */
export type Parameters = Readonly<Record<string, unknown>>;

export type Command =
  | { readonly kind: 'start'; readonly subject: string; readonly setup: Parameters }
  | { readonly kind: 'run'; readonly parameters: Parameters }
  | { readonly kind: 'stop' };

export type Answer =
  { readonly kind: 'done'; readonly sample: Sample } | { readonly kind: 'failed'; readonly message: string };
