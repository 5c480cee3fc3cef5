import type { LeaseEvent, Moment } from './lease-event.js';

/** What comes before the JSON, so that a line of the history is found among whatever else a process prints. */
const MARK = 'baton-lease ';

type Sink = (line: string) => void;

/**
 * Writes what one owner sees of its leases, a line each: into a list, or with `(line) => console.log(line)` out of a child process, where
 * `leaseEventsOf()` finds it again.
 *
 * What is no fence or no time is a RangeError where it is recorded: a check could not see it.
 *
 * Take `since = recorder.now()` before the command is sent; without it the moment is that of the call, which is right for what has no command.
 */
export class LeaseRecorder {
  constructor(
    private readonly owner: string,
    private readonly write: Sink,
    /** Milliseconds on a clock that all recorders share. Default: `machineTime`. */
    readonly now: () => number = machineTime,
  ) {}

  acquired(line: string, fence: number, leaseMs: number, since?: number): void {
    this.put({ what: 'acquired', ...this.held(line, fence, since), leaseMs: checkedMs(leaseMs) });
  }

  renewed(line: string, fence: number, leaseMs: number, since?: number): void {
    this.put({ what: 'renewed', ...this.held(line, fence, since), leaseMs: checkedMs(leaseMs) });
  }

  /** The owner asked whether it still is, and was told so. Call it where the work is done: that is where two owners would do harm. */
  stillOwned(line: string, fence: number, since?: number): void {
    this.put({ what: 'renewed', ...this.held(line, fence, since), leaseMs: 0 });
  }

  raised(line: string, fence: number, raisedTo: number, since?: number): void {
    this.put({ what: 'raised', ...this.held(line, fence, since), raisedTo: checkedFence(raisedTo) });
  }

  lost(line: string, fence: number, since?: number): void {
    this.put({ what: 'lost', ...this.held(line, fence, since) });
  }

  ended(line: string, fence: number, isSettled: boolean, since?: number): void {
    this.put({ what: 'ended', ...this.held(line, fence, since), isSettled });
  }

  private held(line: string, fence: number, since: number | undefined) {
    return { line, owner: this.owner, fence: checkedFence(fence), ...this.moment(since) };
  }

  private moment(since: number | undefined): Moment {
    const to = this.now();
    return { from: since ?? to, to };
  }

  private put(event: LeaseEvent): void {
    this.write(leaseEventLine(event));
  }
}

/** A failover between two moments of `machineTime()`: from before it was asked for until all clients had noticed. */
export function failoverBetween(from: number, to: number, line?: string): LeaseEvent {
  return { what: 'failover', from, to, ...(line !== undefined && { line }) };
}

/** A process was killed between two moments of `machineTime()`: take `from` before the signal is sent. What it held is nobody's from then on. */
export function ownerGone(owner: string, from: number, to = machineTime()): LeaseEvent {
  return { what: 'gone', owner, from, to };
}

/** JSON makes `null` of what is no number, and a lease of that length would never have been anybody's. */
function checkedMs(leaseMs: number): number {
  if (Number.isFinite(leaseMs) && leaseMs >= 0) return leaseMs;
  throw new RangeError(`A lease is a number of milliseconds from 0 on, not ${leaseMs}.`);
}

function checkedFence(fence: number): number {
  if (Number.isSafeInteger(fence)) return fence;
  throw new RangeError(`A fence is a whole number below 2^53, not ${fence}.`);
}

function leaseEventLine(event: LeaseEvent): string {
  return `${MARK}${JSON.stringify(event)}`;
}

/** The history among the lines that processes printed, whatever else they printed. A line that a SIGKILL cut short is left out. */
export function leaseEventsOf(lines: Iterable<string>): LeaseEvent[] {
  const events: LeaseEvent[] = [];
  for (const line of lines) {
    const start = line.indexOf(MARK);
    if (start < 0) continue;
    try {
      events.push(JSON.parse(line.slice(start + MARK.length)) as LeaseEvent);
    } catch {
      // The process was killed in the middle of it.
    }
  }
  return events;
}

/** Milliseconds since this machine started: one monotonic clock for all its processes, unlike `performance.now()`. */
export function machineTime(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
