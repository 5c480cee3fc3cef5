const MAX_DEPTH = 5;
const MAX_LENGTH = 500;
const MAX_AGGREGATED = 5;

/**
 * One line for a log: message, code and the chain of causes, at most 500 characters. Never throws, whatever was thrown.
 *
 * Reads fields and never tests `instanceof Error`: errors of Node's core have another prototype inside a test realm, and the aggregate that
 * a refused connection to a name with two addresses raises has an empty message of its own.
 */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  let current: unknown = error;
  for (let depth = 0; depth < MAX_DEPTH && current !== undefined && current !== null; depth++) {
    const text = describeOne(current, MAX_DEPTH - depth);
    if (text !== '' && !parts.some((part) => part.includes(text))) parts.push(text);
    current = field(current, 'cause');
  }
  return parts.length === 0 ? 'unknown error' : shortened(parts.join(': '), MAX_LENGTH);
}

/** The `code` of an error or of its nearest cause that has one (`ECONNREFUSED`, a SQLSTATE, a Baton code). */
export function errorCode(error: unknown): string | undefined {
  let current: unknown = error;
  for (let depth = 0; depth < MAX_DEPTH && typeof current === 'object' && current !== null; depth++) {
    const code = field(current, 'code');
    if (typeof code === 'string' && code !== '') return code;
    current = field(current, 'cause') ?? field(current, 'driverError') ?? aggregated(current)[0];
  }
  return undefined;
}

/** What `value[name]` is, or `undefined` where there is no such field, or where its getter throws. */
export function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  try {
    return (value as Record<string, unknown>)[name];
  } catch {
    return undefined;
  }
}

function describeOne(value: unknown, levels: number): string {
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return oneLine(String(value));
  const [name, message, code] = [field(value, 'name'), field(value, 'message'), field(value, 'code')];
  const known = typeof code === 'string' || typeof code === 'number' ? String(code) : '';
  const suffix = known === '' ? '' : ` (${known})`;
  if (typeof message === 'string' && message !== '') {
    const text = oneLine(message);
    return text.includes(known) ? text : `${text}${suffix}`;
  }
  const errors = aggregated(value);
  // An aggregate may hold itself.
  if (errors.length > 0 && levels > 0) return errors.map((one) => describeOne(one, levels - 1)).join('; ');
  return oneLine(`${typeof name === 'string' && name !== '' ? name : 'Error'}${suffix}`);
}

function aggregated(value: unknown): readonly unknown[] {
  const errors = field(value, 'errors');
  try {
    return Array.isArray(errors) ? Array.from<unknown>(errors.slice(0, MAX_AGGREGATED)) : [];
  } catch {
    return [];
  }
}

/** Line breaks and control characters would let a message write log lines of its own. A message of megabytes is cut before it is read. */
function oneLine(text: string): string {
  return text
    .slice(0, 4 * MAX_LENGTH)
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim();
}

function shortened(text: string, length: number): string {
  if (text.length <= length) return text;
  // Half a surrogate pair is not a character.
  return `${text.slice(0, length - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
