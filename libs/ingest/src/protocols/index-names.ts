/** Quickwit's `validate_identifier`. */
const QUICKWIT = /^[a-zA-Z][a-zA-Z0-9\-_.]{2,254}$/;

/** What Elasticsearch and OpenSearch refuse anywhere in a name, and what cannot stand in a path (half a surrogate pair), or is never meant to. */
const NEVER = /[\\/*?"<>| ,#:\p{Cc}\p{Cs}]/u;
const NEVER_FIRST = /^[-_+]/;
const MAX_BYTES = 255;

/** What Quickwit has against the name of an index; pure. */
export function quickwitIndexProblem(index: string): string | undefined {
  return QUICKWIT.test(index)
    ? undefined
    : 'must be a letter followed by 2 to 254 letters, digits, dashes, underscores or dots';
}

/** What Elasticsearch and OpenSearch have against the name of an index, a data stream or an alias; pure. Date mathematics is no name. */
export function elasticIndexProblem(index: string): string | undefined {
  if (index === '' || index === '.' || index === '..') return 'must be neither empty nor "." nor ".."';
  if (index !== index.toLowerCase()) return 'must be lower case';
  if (NEVER.test(index)) return 'must be without spaces, control characters and \\ / * ? " < > | , # :';
  if (NEVER_FIRST.test(index)) return 'must not start with "-", "_" or "+"';
  const bytes = Buffer.byteLength(index);
  return bytes > MAX_BYTES ? `must be at most ${MAX_BYTES} bytes, not ${bytes}` : undefined;
}
