import { LeaseHistoryViolatedError } from '../testing.errors.js';
import type { LeaseEvent, Moment } from './lease-event.js';
import {
  type FenceAt,
  type Grant,
  grantedTwice,
  grantsOf,
  type HeldEvent,
  type LeaseViolation,
} from './lease-grant.js';
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
 * - Nobody settles or hands back with a lower fence once a higher one was granted, or its owner has raised its own to one (across a failover:
 *   once it has settled, or the allowed overlap is over).
 *
 * Only what is certain counts as a violation: each moment is an interval, and an owner is alive from the answer to its claim until its last
 * word leaves, it learns of its loss, or its lease runs out counted from when it asked. Events may come in any order. Pure.
 */
export function checkLeaseHistory(events: readonly LeaseEvent[], rules: LeaseHistoryRules = {}): LeaseHistoryReport {
  const failovers = events.filter((event) => event.what === 'failover');
  const deaths = events.filter((event) => event.what === 'gone');
  const byLine = linesOf(events);
  const violations: LeaseViolation[] = [];
  const sums = { grants: 0, settled: 0, longestOverlapMs: 0 };
  for (const [line, held] of byLine) {
    const { grants, violations: found } = grantsOf(line, held, deaths);
    const between = failovers.filter((failover) => failover.line === undefined || failover.line === line);
    const history = new LineHistory(line, grants, between, rules);
    violations.push(...found, ...history.overlaps(), ...history.fences(), ...history.lastWords());
    sums.grants += grants.length;
    sums.settled += grants.filter(({ ended }) => ended?.isSettled === true).length;
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

  lastWords(): LeaseViolation[] {
    return this.grants.flatMap((grant) => this.acceptedTooLate(grant));
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
        fencesOf(other).some((known) => isEarlier(known) && !isHighEnough(other, known.fence)),
    );
    if (before === undefined) return [];
    const detail = `${named(grant)} was granted after ${named(before)}`;
    return [{ kind: 'fence_not_higher', id: this.line, detail }];
  }

  private acceptedTooLate(grant: Grant): LeaseViolation[] {
    const { ended, owner } = grant;
    if (ended === undefined) return [];
    const isAfter = (moment: Moment, graceMs: number): boolean => ended.from > moment.to + graceMs + this.toleranceMs;
    const hasSettled = ({ ended: other }: Grant): boolean =>
      other?.isSettled === true && other.fence > ended.fence && isAfter(other, 0);
    const isTooLate = (other: Grant): boolean => {
      const graceMs = this.hasFailoverBetween(grant, other) ? this.allowedOverlapMs : 0;
      return hasSettled(other) || fencesOf(other).some((known) => known.fence > ended.fence && isAfter(known, graceMs));
    };
    const higher = this.grants.find(isTooLate);
    if (higher === undefined) return [];
    const [kind, did] = ended.isSettled
      ? (['settled_by_lower_fence', 'settled'] as const)
      : (['handed_back_by_lower_fence', 'handed back'] as const);
    const what = hasSettled(higher) ? 'had settled' : 'had been granted';
    return [
      { kind, id: this.line, detail: `${owner} ${did} with fence ${ended.fence} after ${named(higher)} ${what}` },
    ];
  }

  /** The failover may have taken away what the earlier one had. */
  private hasFailoverBetween(earlier: Grant, later: Grant): boolean {
    return this.failovers.some(({ from, to }) => to >= earlier.acquired.from && from <= later.acquired.to);
  }
}

/** Those that it had, each with the moment from which it had it. */
function fencesOf({ acquired, fence, raises }: Grant): readonly FenceAt[] {
  return [{ ...acquired, fence }, ...raises];
}

function named({ owner, fence, raises }: Grant): string {
  const raised = raises.map((raise) => `, raised to ${raise.fence}`).join('');
  return `${owner} (fence ${fence}${raised})`;
}
