/**
 * SQL of the fence that the next claim of a row has. Grows also over a restored backup, whose counters are behind those that a living process holds.
 * Pure.
 */
export function nextFence(alias: string): string {
  return `greatest(${alias}.fence + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)`;
}
