interface ErrorShape {
  readonly name?: unknown;
  readonly message?: unknown;
  readonly code?: unknown;
  readonly cause?: unknown;
  readonly errors?: unknown;
}

const MAX_DEPTH = 5;
const MAX_LENGTH = 500;

/**
 * One line for a log: message, code and the chain of causes, at most 500 characters.
 *
 * Reads fields and never tests `instanceof Error`: errors of Node's core have another prototype inside a test realm, and the aggregate that
 * a refused connection to a name with two addresses raises has an empty message of its own.
 */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  let current: unknown = error;
  for (let depth = 0; depth < MAX_DEPTH && current !== undefined && current !== null; depth++) {
    const text = describeOne(current);
    if (text !== '' && !parts.some((part) => part.includes(text))) parts.push(text);
    current = typeof current === 'object' ? (current as ErrorShape).cause : undefined;
  }
  const line = parts.join(': ').replace(/\s+/g, ' ').trim() || 'unknown error';
  return line.length > MAX_LENGTH ? `${line.slice(0, MAX_LENGTH - 1)}…` : line;
}

/** The `code` of an error or of its nearest cause that has one (`ECONNREFUSED`, a SQLSTATE, a Baton code). */
export function errorCode(error: unknown): string | undefined {
  let current: unknown = error;
  for (let depth = 0; depth < MAX_DEPTH && typeof current === 'object' && current !== null; depth++) {
    const shape = current as ErrorShape & { readonly driverError?: unknown };
    if (typeof shape.code === 'string') return shape.code;
    const first: unknown = Array.isArray(shape.errors) ? shape.errors[0] : undefined;
    current = shape.cause ?? shape.driverError ?? first;
  }
  return undefined;
}

function describeOne(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  const { name, message, code, errors } = value as ErrorShape;
  const suffix = typeof code === 'string' || typeof code === 'number' ? ` (${code})` : '';
  if (typeof message === 'string' && message !== '')
    return message.includes(String(code)) ? message : `${message}${suffix}`;
  if (Array.isArray(errors) && errors.length > 0) return errors.map(describeOne).join('; ');
  return `${typeof name === 'string' ? name : 'Error'}${suffix}`;
}
