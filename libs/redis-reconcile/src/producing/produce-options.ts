export interface ProduceOptions {
  /** Given to the owner; anything `JSON.stringify` can write. */
  readonly info?: unknown;
  /** A second `produce` with it inside the dedupe window (10 min) adds nothing and returns the first one's id. */
  readonly dedupeId?: string;
}
