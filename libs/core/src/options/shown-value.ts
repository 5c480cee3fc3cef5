import { inspect } from 'node:util';

const MAX_LENGTH = 80;

/**
 * What a person gave, as a message may show it: at most 80 characters, objects by their kind only, since they may hold anything, and
 * URLs without credentials and query. Never throws and runs no code of the value.
 */
export function shownValue(value: unknown): string {
  if (typeof value === 'string') return inspect(shortened(withoutCredentials(value)));
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return shortened(inspect(value));
  return Array.isArray(value) ? `a list of ${value.length}` : 'an object';
}

/** A URL that landed in the wrong option is the likeliest secret here. */
function withoutCredentials(text: string): string {
  return text.replace(/:\/\/\S*@/g, '://***@').replace(/(:\/\/[^\s?]*)\?\S*/g, '$1?***');
}

function shortened(text: string): string {
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH - 1)}…` : text;
}
