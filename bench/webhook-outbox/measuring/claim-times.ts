import { createRequire } from 'node:module';
import type pg from 'pg';
import { LatencyHistogram, type Sample } from '../../harness/index.js';

/** Statements that claim: by a word that no other statement of the module has. */
const CLAIM = /^\s*WITH held AS/;

let histogram = new LatencyHistogram();

/**
 * Times each claim as the relay sees it, from giving the statement to the driver to having its rows. It wraps the driver's `query`, since no
 * module tells the times of its statements.
 */
export function timeClaims(): void {
  // The copy that TypeORM uses, which need not be the one that this folder has.
  const driver = createRequire(import.meta.resolve('typeorm'))('pg') as typeof pg;
  const prototype = driver.Client.prototype as unknown as { query: (...args: unknown[]) => unknown };
  const query = prototype.query;
  prototype.query = function (this: unknown, ...args: unknown[]) {
    const [first, , callback] = args;
    const text = typeof first === 'string' ? first : ((first as { text?: string } | undefined)?.text ?? '');
    if (!CLAIM.test(text)) return query.apply(this, args);
    const begun = performance.now();
    const done = (): void => histogram.record(performance.now() - begun);
    if (typeof callback === 'function')
      args[2] = (...results: unknown[]): void => {
        done();
        (callback as (...results: unknown[]) => void)(...results);
      };
    const result = query.apply(this, args);
    if (typeof callback !== 'function') void Promise.resolve(result).then(done, () => undefined);
    return result;
  };
}

/** Since the last time. */
export function takeClaimTimes(): Sample {
  const sample = { claims: histogram.count, ...(histogram.count > 0 ? histogram.toSample() : {}) };
  histogram = new LatencyHistogram();
  return sample;
}
