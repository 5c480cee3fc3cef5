import { LeaseHistoryViolatedError } from '../testing.errors.js';
import type { LeaseEvent, Moment } from './lease-event.js';
import { type Grant, grantedTwice, grantsOf, type HeldEvent, type LeaseViolation } from './lease-grant.js';
import { describeViolations } from './violation.js';

export interface LeaseHistoryRules {
  /**
   * How long two owners of one line may overlap where a failover lies between their grants, in milliseconds. Default 0. Without a failover
   * they never may. Too large and the check proves little: it is what the README of the lease promises.
   */
  readonly allowedOverlapMs?: number;
  /** By how much two observers may read their clocks differently, in milliseconds. Default 1: one machine, one clock, rounding. */
  readonly clockToleranceMs?: number;
}

export interface LeaseHistoryReport {
  readonly holds: boolean;
  readonly lines: number;
  readonly grants: number;
  readonly settled: number;
  readonly failovers: number;
  /** The longest time that two owners of one line had in common, allowed or not. */
  readonly longestOverlapMs: number;
  readonly violations: readonly LeaseViolation[];
  readonly message: string;
}

/**
 * What a fenced lease promises, over a whole history.
 *
 * - One line never has two live owners; across a failover for `allowedOverlapMs` at most, and then the higher fence wins.
 * - A later grant of a line has a higher fence.
 * - Nobody settles with a lower fence once a higher one was granted (across a failover: once it has settled, or the allowed overlap is over).
 *
 * Only what is certain counts as a violation: each moment is an interval, and an owner is alive from the answer to its claim until its last
 * word leaves, it learns of its loss, or its lease runs out counted from when it asked. Events may come in any order. Pure.
 */
export function checkLeaseHistory(events: readonly LeaseEvent[], rules: LeaseHistoryRules = {}): LeaseHistoryReport {
  const failovers = events.filter((event) => event.what === 'failover');
  const goneAt = new Map(events.flatMap((event) => (event.what === 'gone' ? [[event.owner, event] as const] : [])));
  const byLine = linesOf(events);
  const violations: LeaseViolation[] = [];
  const sums = { grants: 0, settled: 0, longestOverlapMs: 0 };
  for (const [line, held] of byLine) {
    const { grants, violations: found } = grantsOf(line, held, goneAt);
    const between = failovers.filter((failover) => failover.line === undefined || failover.line === line);
    const history = new LineHistory(line, grants, between, rules);
    violations.push(...found, ...history.overlaps(), ...history.fences(), ...history.settles());
    sums.grants += grants.length;
    sums.settled += grants.filter(({ settled }) => settled !== undefined).length;
    sums.longestOverlapMs = Math.max(sums.longestOverlapMs, history.longestOverlapMs);
  }
  const subject = `${sums.grants} grants of ${byLine.size} lines, ${failovers.length} failovers, longest overlap ${sums.longestOverlapMs.toFixed(1)} ms`;
  return {
    holds: violations.length === 0,
    lines: byLine.size,
    failovers: failovers.length,
    ...sums,
    violations,
    message: describeViolations(subject, violations),
  };
}

/** As `checkLeaseHistory()`. @throws LeaseHistoryViolatedError with every violation. */
export function assertLeaseHistory(events: readonly LeaseEvent[], rules: LeaseHistoryRules = {}): LeaseHistoryReport {
  const report = checkLeaseHistory(events, rules);
  if (!report.holds) throw new LeaseHistoryViolatedError(report.message, report.violations);
  return report;
}

function linesOf(events: readonly LeaseEvent[]): ReadonlyMap<string, readonly HeldEvent[]> {
  const byLine = new Map<string, HeldEvent[]>();
  for (const event of events) {
    if (event.what === 'failover' || event.what === 'gone') continue;
    const known = byLine.get(event.line);
    if (known === undefined) byLine.set(event.line, [event]);
    else known.push(event);
  }
  return byLine;
}

/** The grants of one line, by when they were certain. */
class LineHistory {
  longestOverlapMs = 0;
  private readonly grants: readonly Grant[];
  private readonly allowedOverlapMs: number;
  private readonly toleranceMs: number;

  constructor(
    private readonly line: string,
    grants: readonly Grant[],
    private readonly failovers: readonly Moment[],
    { allowedOverlapMs = 0, clockToleranceMs = 1 }: LeaseHistoryRules,
  ) {
    this.grants = grants.toSorted((a, b) => a.aliveFrom - b.aliveFrom);
    this.allowedOverlapMs = allowedOverlapMs;
    this.toleranceMs = clockToleranceMs;
  }

  overlaps(): LeaseViolation[] {
    return this.grants.flatMap((earlier, i) => this.overlapsWith(earlier, i + 1));
  }

  fences(): LeaseViolation[] {
    const twice = this.grants.flatMap((grant, i) => {
      const twin = this.grants.slice(0, i).find(({ fence }) => fence === grant.fence);
      return twin === undefined || twin.owner === grant.owner
        ? []
        : [grantedTwice(this.line, grant.fence, [twin.owner, grant.owner])];
    });
    return [...twice, ...this.grants.flatMap((grant) => this.notHigher(grant))];
  }

  settles(): LeaseViolation[] {
    return this.grants.flatMap((grant) => this.settledTooLate(grant));
  }

  private overlapsWith(earlier: Grant, start: number): LeaseViolation[] {
    const found: LeaseViolation[] = [];
    for (const later of this.grants.slice(start)) {
      if (later.aliveFrom >= earlier.aliveUntil) break;
      const overlapMs = Math.min(earlier.aliveUntil, later.aliveUntil) - later.aliveFrom;
      if (overlapMs <= this.toleranceMs) continue;
      this.longestOverlapMs = Math.max(this.longestOverlapMs, overlapMs);
      const isExcused = this.hasFailoverBetween(earlier, later);
      if (isExcused && overlapMs <= this.allowedOverlapMs + this.toleranceMs) continue;
      const allowance = isExcused ? `, and ${this.allowedOverlapMs} ms are allowed across a failover` : '';
      const detail = `${named(earlier)} and ${named(later)} both owned it for ${overlapMs.toFixed(1)} ms${allowance}`;
      found.push({ kind: 'two_owners', id: this.line, detail });
    }
    return found;
  }

  /** After a failover what counts is the fence that the owner raised its own to: the server's clock may be behind. */
  private notHigher(grant: Grant): LeaseViolation[] {
    const isEarlier = ({ to }: Moment): boolean => to + this.toleranceMs < grant.acquired.from;
    const isHighEnough = (other: Grant, fence: number): boolean =>
      grant.fence > fence ||
      (this.hasFailoverBetween(other, grant) && grant.raises.some((raise) => raise.fence > fence));
    const before = this.grants.find(
      (other) =>
        other.fence !== grant.fence &&
        [{ ...other.acquired, fence: other.fence }, ...other.raises].some(
          (known) => isEarlier(known) && !isHighEnough(other, known.fence),
        ),
    );
    if (before === undefined) return [];
    const detail = `${named(grant)} was granted after ${named(before)}`;
    return [{ kind: 'fence_not_higher', id: this.line, detail }];
  }

  private settledTooLate(grant: Grant): LeaseViolation[] {
    const { settled, owner } = grant;
    if (settled === undefined) return [];
    const isAfter = (moment: Moment, graceMs: number): boolean => settled.from > moment.to + graceMs + this.toleranceMs;
    const hasSettled = (other: Grant): boolean => other.settled !== undefined && isAfter(other.settled, 0);
    const isTooLate = (other: Grant): boolean => {
      const graceMs = this.hasFailoverBetween(grant, other) ? this.allowedOverlapMs : 0;
      return other.fence > settled.fence && (hasSettled(other) || isAfter(other.acquired, graceMs));
    };
    const higher = this.grants.find(isTooLate);
    if (higher === undefined) return [];
    const what = hasSettled(higher) ? 'had settled' : 'had been granted';
    const detail = `${owner} settled with fence ${settled.fence} after ${named(higher)} ${what}`;
    return [{ kind: 'settled_by_lower_fence', id: this.line, detail }];
  }

  /** The failover may have taken away what the earlier one had. */
  private hasFailoverBetween(earlier: Grant, later: Grant): boolean {
    return this.failovers.some(({ from, to }) => to >= earlier.acquired.from && from <= later.acquired.to);
  }
}

function named({ owner, fence }: Grant): string {
  return `${owner} (fence ${fence})`;
}
