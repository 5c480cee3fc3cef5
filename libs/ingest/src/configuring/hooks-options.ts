import { OptionsCheck } from '@nest-baton/core';
import type { IngestHooks } from '../settling/hooks.js';
import { addProblems } from './inner-problems.js';

const NAMES = ['onDiscard', 'onReject', 'onUndelivered'] as const satisfies readonly (keyof IngestHooks)[];

/** The hooks that are given, for the others those of `inherited`. They may be an object's methods. */
export function resolveHooks<Options extends object>(
  given: IngestHooks | undefined,
  inherited: IngestHooks,
  check: OptionsCheck<Options>,
): IngestHooks {
  if (given === undefined) return inherited;
  const inner = new OptionsCheck<IngestHooks>('IngestModule.hooks', given, NAMES);
  for (const name of NAMES) inner.function(name);
  addProblems('hooks', inner.problems, check);
  if (inner.problems.length > 0) return inherited;
  return Object.freeze({
    onDiscard: given.onDiscard?.bind(given) ?? inherited.onDiscard,
    onReject: given.onReject?.bind(given) ?? inherited.onReject,
    onUndelivered: given.onUndelivered?.bind(given) ?? inherited.onUndelivered,
  });
}
