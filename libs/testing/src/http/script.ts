/**
 * What a server of ours does with the requests to come: one step for all of them, until the script is replaced; a list, for the next requests in
 * their order (`undefined`: nothing special), after which there is nothing special any more; or a function, asked each time, with `nth` counted
 * from 1 since the script was set.
 */
export type Script<Request, Step extends object> =
  Step | readonly (Step | undefined)[] | ((request: Request, nth: number) => Step | undefined);

/** Takes requests through a script, one after the other. */
export class ScriptRunner<Request, Step extends object> {
  private script: Script<Request, Step> | undefined;
  private taken = 0;

  set(script: Script<Request, Step> | undefined): void {
    this.script = script;
    this.taken = 0;
  }

  next(request: Request): Step | undefined {
    const { script } = this;
    const nth = ++this.taken;
    if (typeof script === 'function') return script(request, nth);
    if (isList(script)) return script[nth - 1];
    return script;
  }
}

/** Scripts side by side: those of some requests only, in the order in which they were added, and one for the rest. */
export class ScriptBook<Request, Step extends object> {
  private readonly rest = new ScriptRunner<Request, Step>();
  private readonly special = new Set<{
    readonly isMeant: (request: Request) => boolean;
    readonly runner: ScriptRunner<Request, Step>;
  }>();

  /** Replaces the script for all requests that no other script has a step for. */
  set(script: Script<Request, Step> | undefined): void {
    this.rest.set(script);
  }

  /** Counts only the requests that are meant. Returns what takes the script away again. */
  add(isMeant: (request: Request) => boolean, script: Script<Request, Step>): () => void {
    const runner = new ScriptRunner<Request, Step>();
    runner.set(script);
    const entry = { isMeant, runner };
    this.special.add(entry);
    return () => void this.special.delete(entry);
  }

  clear(): void {
    this.special.clear();
    this.rest.set(undefined);
  }

  /** The first step that there is. Scripts after it do not count the request. */
  next(request: Request): Step | undefined {
    for (const { isMeant, runner } of this.special) {
      const step = isMeant(request) ? runner.next(request) : undefined;
      if (step !== undefined) return step;
    }
    return this.rest.next(request);
  }
}

/** `Array.isArray` alone does not narrow a readonly array. */
function isList<T>(value: unknown): value is readonly T[] {
  return Array.isArray(value);
}
