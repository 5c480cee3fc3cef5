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

/** `Array.isArray` alone does not narrow a readonly array. */
function isList<T>(value: unknown): value is readonly T[] {
  return Array.isArray(value);
}
