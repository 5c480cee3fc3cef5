import { errorCode, field } from '../describe-error.js';

const MAX_DEPTH = 5;

/** A code or a class name. Whatever has a space in it is a sentence, and sentences may quote documents. */
const IDENTIFIER = /^[A-Za-z0-9_][\w.$:-]{0,63}$/;

/**
 * `error.type` of a span: the code of the error or of its nearest cause, else the name of its class if that says anything, else `otherwise`.
 * Never the message: it may quote what was sent. Never throws.
 */
export function errorType(error: unknown, otherwise = '_OTHER'): string {
  const code = errorCode(error);
  if (code !== undefined && IDENTIFIER.test(code)) return code;
  let current: unknown = error;
  for (let depth = 0; depth < MAX_DEPTH && current !== undefined; depth++) {
    const name = field(current, 'name');
    if (typeof name === 'string' && name !== 'Error' && IDENTIFIER.test(name)) return name;
    current = field(current, 'cause');
  }
  return otherwise;
}
