import type { LeaseEvent, Moment } from './lease-event.js';
import type { Violation } from './violation.js';

/**
 * - `two_owners`: two grants of one line were alive at one moment, longer than allowed · `fence_not_higher`: granted later with no higher fence
 * - `fence_granted_twice`: two grants, one fence · `settled_by_lower_fence`: settled after a higher fence was granted or had settled
 * - `handed_back_by_lower_fence`: the same, of a claim that was handed back unfinished: the server let it go for its new owner
 * - `without_grant`: renewed, lost or ended, and nobody saw it granted · `after_its_end`: renewed or ended when it was already over, or its
 *   owner dead
 */
export type LeaseViolation = Violation<
  | 'two_owners'
  | 'fence_not_higher'
  | 'fence_granted_twice'
  | 'settled_by_lower_fence'
  | 'handed_back_by_lower_fence'
  | 'without_grant'
  | 'after_its_end'
>;

/** The life of one claim. It was the owner's for certain from `aliveFrom` until `aliveUntil`; before and after that, perhaps. */
export interface Grant {
  readonly line: string;
  readonly owner: string;
  readonly acquired: Moment;
  /** As it was granted. */
  readonly fence: number;
  /** What it had later, in the order of time; each higher than the one before. */
  readonly raises: readonly FenceAt[];
  readonly aliveFrom: number;
  readonly aliveUntil: number;
  /** The last word that the server accepted, and whether the work was over by it. */
  readonly ended: LastWord | undefined;
}

export interface LastWord extends FenceAt {
  readonly isSettled: boolean;
}

export interface FenceAt extends Moment {
  readonly fence: number;
}

export type HeldEvent = Exclude<LeaseEvent, { readonly what: 'failover' | 'gone' }>;
export type Death = Extract<LeaseEvent, { readonly what: 'gone' }>;

interface Life {
  readonly owner: string;
  readonly acquired: Moment;
  readonly fence: number;
  readonly raises: FenceAt[];
  deadline: number;
  over: Moment | undefined;
  ended: LastWord | undefined;
}

/** Puts the events of one line together to grants. Pure. */
export function grantsOf(
  line: string,
  events: readonly HeldEvent[],
  deaths: readonly Death[],
): { readonly grants: readonly Grant[]; readonly violations: readonly LeaseViolation[] } {
  const violations: LeaseViolation[] = [];
  const lives: Life[] = [];
  const byKey = new Map<string, Life>();
  // An owner saw its own events in this order: an answer comes before what follows from it is sent.
  for (const event of events.toSorted((a, b) => a.from - b.from || a.to - b.to || rank(a) - rank(b))) {
    const key = `${event.owner}\n${event.fence}`;
    const life = byKey.get(key);
    if (event.what === 'acquired') {
      if (life !== undefined) violations.push(grantedTwice(line, event.fence, [event.owner]));
      const { owner, from, to, fence, leaseMs } = event;
      const granted: Life = {
        owner,
        acquired: { from, to },
        fence,
        raises: [],
        deadline: from + leaseMs,
        over: undefined,
        ended: undefined,
      };
      lives.push(granted);
      byKey.set(key, granted);
    } else if (life === undefined) {
      const detail = `${event.what} by ${event.owner} with fence ${event.fence}, and nobody saw it granted`;
      violations.push({ kind: 'without_grant', id: line, detail });
    } else violations.push(...live(line, life, event, deathOf(life, deaths), byKey));
  }
  return { grants: lives.map((life) => toGrant(line, life, deathOf(life, deaths))), violations };
}

/** Of this life. Its name may have been another's before, who died before this one asked for the lease. */
function deathOf({ owner, acquired }: Life, deaths: readonly Death[]): Death | undefined {
  return deaths
    .filter((death) => death.owner === owner && death.to >= acquired.from)
    .reduce<Death | undefined>((first, one) => (one.from < (first?.from ?? Infinity) ? one : first), undefined);
}

export function grantedTwice(line: string, fence: number, owners: readonly string[]): LeaseViolation {
  return {
    kind: 'fence_granted_twice',
    id: line,
    detail: `fence ${fence} was granted twice, to ${owners.join(' and ')}`,
  };
}

function live(
  line: string,
  life: Life,
  event: Exclude<HeldEvent, { readonly what: 'acquired' }>,
  death: Death | undefined,
  byKey: Map<string, Life>,
): LeaseViolation[] {
  // Being told of a loss twice, or after the end, does no harm.
  const isLate = life.over !== undefined && event.what !== 'lost' && event.from > life.over.to;
  const isPosthumous = death !== undefined && event.from > death.to;
  switch (event.what) {
    case 'renewed':
      life.deadline = Math.max(life.deadline, event.from + event.leaseMs);
      break;
    case 'raised':
      life.raises.push({ from: event.from, to: event.to, fence: event.raisedTo });
      byKey.set(`${event.owner}\n${event.raisedTo}`, life);
      break;
    case 'lost':
      life.over ??= event;
      break;
    case 'ended':
      life.over ??= event;
      if (life.ended?.isSettled !== true) life.ended = event;
      break;
  }
  if (!isLate && !isPosthumous) return [];
  const why = isPosthumous ? 'who was gone' : 'whose claim was over';
  const detail = `${event.what} by ${event.owner} with fence ${event.fence}, ${why}`;
  return [{ kind: 'after_its_end', id: line, detail }];
}

function toGrant(line: string, life: Life, gone: Moment | undefined): Grant {
  const { owner, acquired, fence, raises, deadline, over, ended } = life;
  const aliveUntil = Math.min(deadline, over?.from ?? Infinity, gone?.from ?? Infinity);
  return { line, owner, acquired, fence, raises, aliveFrom: acquired.to, aliveUntil, ended };
}

const ORDER = ['acquired', 'renewed', 'raised', 'ended', 'lost'] as const;

function rank({ what }: HeldEvent): number {
  return ORDER.indexOf(what);
}
