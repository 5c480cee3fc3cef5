import type { OptionsCheck } from '@nest-baton/core';

/** Tells what is wrong inside an option, by its full name. */
export function addProblems<Options extends object>(
  option: string,
  problems: readonly string[],
  check: OptionsCheck<Options>,
): void {
  // A sentence about a field begins with its name.
  for (const problem of problems)
    check.problem(/^(unknown|options) /.test(problem) ? `${option}: ${problem}` : `${option}.${problem}`);
}
