import type { Link, SpanContext } from '@opentelemetry/api';

/** Below the 128 that OpenTelemetry's SDK keeps: it would drop the first ones without a word. */
export const MAX_LINKS = 64;

/** The first contexts as links, each once, and how many others there were. Pure. */
export function spanLinks(contexts: Iterable<SpanContext>): { readonly links: Link[]; readonly omitted: number } {
  const known = new Set<string>();
  const links: Link[] = [];
  for (const context of contexts) {
    const key = context.traceId + context.spanId;
    if (known.has(key)) continue;
    known.add(key);
    if (links.length < MAX_LINKS) links.push({ context });
  }
  return { links, omitted: known.size - links.length };
}
