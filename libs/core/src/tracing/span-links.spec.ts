import type { SpanContext } from '@opentelemetry/api';
import { MAX_LINKS, spanLinks } from './span-links.js';

const context = (n: number): SpanContext => ({
  traceId: '1'.repeat(32),
  spanId: n.toString(16).padStart(16, '0'),
  traceFlags: 1,
});

describe('spanLinks', () => {
  it('links each context once, the first ones, and counts the others', () => {
    const many = Array.from({ length: 3 * 100 }, (_, i) => context(1 + (i % 100)));
    const { links, omitted } = spanLinks(many);
    expect(links).toEqual(many.slice(0, MAX_LINKS).map((one) => ({ context: one })));
    expect(omitted).toBe(100 - MAX_LINKS);
    expect(spanLinks(new Set([context(1)]))).toEqual({ links: [{ context: context(1) }], omitted: 0 });
    expect(spanLinks([])).toEqual({ links: [], omitted: 0 });
  });
});
