/** What a receiver asks for beside its status. */
export type Control = 'abort-message' | 'disable';

/**
 * Reads `webhook-delivery`; pure. Case does not matter, of several values the one that asks for more counts, and what is not known is as good as
 * absent: a typing error must not cost deliveries.
 */
export function readControl(header: string | undefined): Control | undefined {
  const asked = (header ?? '').toLowerCase().split(',', 100);
  const known = asked.map((value) => value.trim());
  if (known.includes('disable')) return 'disable';
  return known.includes('abort-message') ? 'abort-message' : undefined;
}
