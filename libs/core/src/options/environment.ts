import { OptionsInvalidError } from '../errors.js';
import { parseDuration } from './durations.js';
import { shownValue } from './shown-value.js';

/** How the text of an environment variable is read. `list`: comma-separated, blanks dropped. */
export type EnvironmentKind = 'string' | 'integer' | 'number' | 'boolean' | 'duration' | 'list';

/** One line of a lib's table of environment variables. */
export interface EnvironmentVariable {
  readonly variable: string;
  /** The option it sets; a dot goes one object deeper: `recovery.interval`. */
  readonly option: string;
  readonly kind: EnvironmentKind;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Options as nested plain objects from the variables of `table` that are set; pure. An empty variable counts as not set, as in a
 * compose file. Bounds and rules are checked where options are resolved. Of variables that set an option as a whole and in parts only one kind may
 * be set.
 *
 * @throws OptionsInvalidError naming each variable whose text cannot be read as its kind, and those that exclude each other.
 */
export function readEnvironment(
  subject: string,
  env: Environment,
  table: readonly EnvironmentVariable[],
): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  const problems: string[] = [];
  const set: EnvironmentVariable[] = [];
  for (const row of table) {
    const { variable, option, kind } = row;
    const text = env[variable]?.trim();
    if (text === undefined || text === '') continue;
    const other = set.find((before) => exclude(before.option, option));
    if (other !== undefined) {
      problems.push(`${other.variable} and ${variable} exclude each other: set one of them`);
      continue;
    }
    set.push(row);
    const value = readKind(kind, text);
    if (value === undefined) problems.push(`${variable} must be ${EXPECTED[kind]}, not ${shownValue(text)}`);
    else assign(options, option.split('.'), value);
  }
  if (problems.length > 0) throw new OptionsInvalidError(subject, problems);
  return options;
}

/** One is a part of the other, or they are the same. */
function exclude(one: string, other: string): boolean {
  return `${one}.`.startsWith(`${other}.`) || `${other}.`.startsWith(`${one}.`);
}

const EXPECTED: Readonly<Record<EnvironmentKind, string>> = {
  string: 'a text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  duration: "a duration such as '30s' or '250ms'",
  list: 'a comma-separated list',
};

function readKind(kind: EnvironmentKind, text: string): unknown {
  switch (kind) {
    case 'string':
      return text;
    case 'integer':
      return /^-?\d+$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined;
    case 'number':
      return Number.isFinite(Number(text)) ? Number(text) : undefined;
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : undefined;
    case 'duration': {
      const duration: unknown = /^\d+$/.test(text) ? Number(text) : text;
      return parseDuration(duration) === undefined ? undefined : duration;
    }
    case 'list':
      return text
        .split(',')
        .map((item) => item.trim())
        .filter((item) => item !== '');
  }
}

function assign(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [head = '', ...rest] = path;
  if (rest.length === 0) target[head] = value;
  else assign((target[head] ??= {}) as Record<string, unknown>, rest, value);
}
