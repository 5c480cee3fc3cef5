import { OptionsInvalidError } from '../errors.js';
import { type Duration, parseDuration } from './durations.js';
import { unknownName } from './nearest-name.js';
import { shownValue } from './shown-value.js';

interface Bounds {
  readonly min?: number;
  readonly max?: number;
}

/**
 * Reads what a person wrote, field by field, and reports everything wrong at once.
 *
 * - Each reader returns a usable value also when the field is wrong, so that one pass finds all problems; nothing of it may be used
 *   before `finish()` has returned.
 * - `undefined` means not given; `null` is a value like another, and wrong.
 * - A sentence names the option, what was expected and the value that was given. Objects are shown as such, URLs without credentials; what
 *   `secret()` and `url()` read is never shown.
 */
export class OptionsCheck<Options extends object> {
  private readonly found: string[] = [];
  private readonly given: Readonly<Record<string, unknown>>;

  /** @param subject what is configured, as the reader of the report knows it: `IngestModule`, `IngestModule.retry`. */
  constructor(
    private readonly subject: string,
    options: Options | undefined,
    known: readonly (keyof Options & string)[],
  ) {
    if (options !== undefined && (typeof options !== 'object' || options === null || Array.isArray(options))) {
      this.found.push(`options must be an object, not ${shownValue(options)}`);
      this.given = {};
      return;
    }
    this.given = options ?? {};
    for (const key of Object.keys(this.given))
      if (!(known as readonly string[]).includes(key)) this.found.push(unknownName('option', key, known));
  }

  get problems(): readonly string[] {
    return this.found;
  }

  duration(key: keyof Options & string, fallback: Duration, bounds: Bounds = {}): number {
    const value = this.read(key, fallback);
    const ms = parseDuration(value);
    if (ms === undefined) {
      this.problem(`${key} must be a duration such as '30s' or a number of milliseconds, not ${shownValue(value)}`);
      return parseDuration(fallback) ?? 0;
    }
    this.checkBounds(key, ms, bounds, 'ms');
    return ms;
  }

  integer(key: keyof Options & string, fallback: number, bounds: Bounds = {}): number {
    const value = this.read(key, fallback);
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
      this.problem(`${key} must be a whole number, not ${shownValue(value)}`);
      return fallback;
    }
    this.checkBounds(key, value, bounds, '');
    return value;
  }

  number(key: keyof Options & string, fallback: number, bounds: Bounds = {}): number {
    const value = this.read(key, fallback);
    if (typeof value !== 'number' || !Number.isFinite(value)) {
      this.problem(`${key} must be a number, not ${shownValue(value)}`);
      return fallback;
    }
    this.checkBounds(key, value, bounds, '');
    return value;
  }

  boolean(key: keyof Options & string, fallback: boolean): boolean {
    const value = this.read(key, fallback);
    if (typeof value === 'boolean') return value;
    this.problem(`${key} must be true or false, not ${shownValue(value)}`);
    return fallback;
  }

  oneOf<const Choice extends string>(
    key: keyof Options & string,
    fallback: Choice,
    choices: readonly Choice[],
  ): Choice {
    const value = this.read(key, fallback);
    if ((choices as readonly unknown[]).includes(value)) return value as Choice;
    this.problem(`${key} must be one of ${choices.map((c) => `'${c}'`).join(', ')}, not ${shownValue(value)}`);
    return fallback;
  }

  /** A non-empty string. Without `fallback` the option is required. */
  string(key: keyof Options & string, fallback?: string): string {
    const value = this.read(key, fallback);
    if (typeof value === 'string' && value !== '') return value;
    this.problem(
      value === undefined ? `${key} is required` : `${key} must be a non-empty string, not ${shownValue(value)}`,
    );
    return fallback ?? '';
  }

  /** A non-empty string whose value is never shown. Without `fallback` the option is required. */
  secret(key: keyof Options & string, fallback?: string): string {
    const value = this.read(key, fallback);
    if (typeof value === 'string' && value !== '') return value;
    this.problem(value === undefined ? `${key} is required` : `${key} must be a non-empty string`);
    return fallback ?? '';
  }

  /** A URL with one of `protocols` (such as `http:`). Its value is never shown, since it may hold credentials. */
  url(key: keyof Options & string, protocols: readonly string[]): string {
    const value = this.given[key];
    if (value === undefined) this.problem(`${key} is required`);
    else if (typeof value !== 'string' || !URL.canParse(value) || !protocols.includes(new URL(value).protocol))
      this.problem(`${key} must be a URL that starts with ${protocols.map((p) => `${p}//`).join(' or ')}`);
    return typeof value === 'string' ? value : '';
  }

  /** `undefined`, or a function. */
  function<F>(key: keyof Options & string): F | undefined {
    const value = this.given[key];
    if (value !== undefined && typeof value !== 'function')
      this.problem(`${key} must be a function, not ${shownValue(value)}`);
    return value as F | undefined;
  }

  /** A rule between options: reported when `holds` is false. */
  rule(holds: boolean, sentence: string): void {
    if (!holds) this.problem(sentence);
  }

  problem(sentence: string): void {
    this.found.push(sentence);
  }

  /** @throws OptionsInvalidError naming every problem found. */
  finish(): void {
    if (this.found.length > 0) throw new OptionsInvalidError(this.subject, this.found);
  }

  private read(key: string, fallback: unknown): unknown {
    const value = this.given[key];
    return value === undefined ? fallback : value;
  }

  private checkBounds(key: string, value: number, { min = 0, max = Infinity }: Bounds, unit: string): void {
    const suffix = unit === '' ? '' : ` ${unit}`;
    if (value < min) this.problem(`${key} must be at least ${min}${suffix}, not ${value}${suffix}`);
    else if (value > max) this.problem(`${key} must be at most ${max}${suffix}, not ${value}${suffix}`);
  }
}
