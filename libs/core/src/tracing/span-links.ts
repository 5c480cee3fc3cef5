import type { Link, SpanContext } from '@opentelemetry/api';

/** Below the 128 that OpenTelemetry's SDK keeps: it would drop the first ones without a word. */
export const MAX_LINKS = 64;

/** The first contexts as links, each once, and how many others there were. Pure. */
export function spanLinks(contexts: Iterable<SpanContext>): { readonly links: Link[]; readonly omitted: number } {
  // Traces by their spans: ids that are there already make a cheaper key than one that is put together.
  const known = new Map<string, string>();
  const links: Link[] = [];
  let count = 0;
  let last: SpanContext | undefined;
  for (const context of contexts) {
    // Documents of one call come one after the other.
    if (context === last) continue;
    last = context;
    const { traceId, spanId } = context;
    if (known.get(spanId) === traceId) continue;
    known.set(spanId, traceId);
    if (++count <= MAX_LINKS) links.push({ context });
  }
  return { links, omitted: count - links.length };
}
