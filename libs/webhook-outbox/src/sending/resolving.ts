import { lookup as systemLookup } from 'node:dns';

export interface ResolvedAddress {
  readonly address: string;
  readonly family: number;
}

type Answered = (error: NodeJS.ErrnoException | null, addresses: readonly ResolvedAddress[]) => void;

/** All addresses of a name, as `dns.lookup` with `all` gives them. */
export type Resolve = (hostname: string, done: Answered) => void;

export const systemResolve: Resolve = (hostname, done) => {
  systemLookup(hostname, { all: true }, (error, addresses) => done(error, error === null ? addresses : []));
};

/**
 * A resolver that answers within `timeoutMs`, and that asks for a name once at a time, however many connections wait for it.
 *
 * - The system's resolver runs on the four threads that files and hashes share, and waits tens of seconds for a name server that is silent: one
 *   endpoint takes one of them, not as many as it has requests. The lookup itself cannot be stopped; until it ends, the name is not asked again.
 * - Nothing is remembered: an answer is for those who were waiting for it.
 */
export function boundedResolve(resolve: Resolve, timeoutMs: number): Resolve {
  const underWay = new Map<string, Set<Answered>>();
  return (hostname, done) => {
    const waiting = underWay.get(hostname);
    const isFirst = waiting === undefined;
    const all = waiting ?? new Set<Answered>();
    const timer = setTimeout(() => {
      all.delete(answered);
      done(timeoutOf(hostname, timeoutMs), []);
    }, timeoutMs);
    const answered: Answered = (error, addresses) => {
      clearTimeout(timer);
      done(error, addresses);
    };
    all.add(answered);
    if (!isFirst) return;
    underWay.set(hostname, all);
    resolve(hostname, (error, addresses) => {
      underWay.delete(hostname);
      for (const one of all) one(error, addresses);
      all.clear();
    });
  };
}

function timeoutOf(hostname: string, timeoutMs: number): NodeJS.ErrnoException {
  return Object.assign(new Error(`the address of ${hostname} was not found within ${timeoutMs} ms`), {
    code: 'BATON_RESOLVE_TIMEOUT',
  });
}
