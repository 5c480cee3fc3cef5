/**
 * When each operation of an open loop is due, in milliseconds after the start: at a fixed rate, whatever became of those before. Latency
 * counts from here, not from when a late loop got round to it.
 */
export function dueTimes(ratePerSecond: number, durationMs: number): readonly number[] {
  if (!(ratePerSecond > 0) || !(durationMs > 0)) throw new RangeError('A loop needs a rate and a duration above 0.');
  const count = Math.max(1, Math.round((ratePerSecond * durationMs) / 1000));
  return Array.from({ length: count }, (_, index) => (index * 1000) / ratePerSecond);
}

/**
 * What a closed loop left out: while one operation took `latencyMs`, others were due every `intervalMs`, and each would have waited for what
 * was left of it. The measured latency comes first.
 */
export function withOmitted(latencyMs: number, intervalMs: number): readonly number[] {
  if (!(intervalMs > 0)) throw new RangeError('The interval between operations must be above 0.');
  const all = [latencyMs];
  for (let missing = latencyMs - intervalMs; missing >= intervalMs; missing -= intervalMs) all.push(missing);
  return all;
}
