/**
 * A schema of any library that follows Standard Schema v1 (https://standardschema.dev), by structure: zod, valibot, arktype and others.
 *
 * What is handed in is checked against it and must be its input; what is sent is its output. It must answer synchronously.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

type SchemaResult<Output> =
  { readonly value: Output; readonly issues?: undefined } | { readonly issues: readonly SchemaIssue[] };

interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What a document comes to under a schema. `cause` never quotes the document. */
export type Conformed = { readonly value: unknown } | { readonly cause: unknown };

const SHOWN_ISSUES = 3;
const SHOWN_CHARACTERS = 200;

/** True for what can be used as a schema, as far as can be seen without a document. */
export function isStandardSchema(value: unknown): value is StandardSchema {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  const props = (value as Partial<StandardSchema>)['~standard'] as Partial<StandardSchema['~standard']> | undefined;
  return props?.version === 1 && typeof props.validate === 'function';
}

/**
 * Asks a schema about a document. Never throws, and leaves no rejection behind: a schema that throws, answers with a promise or with nothing
 * has refused the document.
 */
export function conform(schema: StandardSchema, doc: unknown): Conformed {
  let result: unknown;
  try {
    result = schema['~standard'].validate(doc);
  } catch (cause) {
    return { cause };
  }
  if (typeof result !== 'object' || result === null) return { cause: new TypeError('the schema gave no result') };
  if (isThenable(result)) {
    ignoreOutcome(result);
    // zod turns to a promise also when something that it calls throws.
    const sentence = 'the schema answered with a promise: it must be synchronous, and nothing that it calls may throw';
    return { cause: new TypeError(sentence) };
  }
  const { issues, value } = result as { readonly issues?: readonly SchemaIssue[]; readonly value?: unknown };
  return issues ? { cause: new TypeError(sentenceOf(issues, doc)) } : { value };
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { readonly then?: unknown } | null | undefined)?.then === 'function';
}

/** Nobody waits for it, and its failure is nobody's. */
export function ignoreOutcome(promise: PromiseLike<unknown>): void {
  void Promise.resolve(promise).then(nothing, nothing);
}

function nothing(): void {}

function sentenceOf(issues: readonly SchemaIssue[], doc: unknown): string {
  if (issues.length === 0) return 'the document does not fit the schema';
  const shown = issues.slice(0, SHOWN_ISSUES).map((issue) => issueSentence(issue, doc));
  const more = issues.length - shown.length;
  return `the document does not fit the schema: ${shown.join('; ')}${more === 0 ? '' : `; and ${more} more`}`;
}

function issueSentence({ message, path = [] }: SchemaIssue, doc: unknown): string {
  const keys = path.map((segment) => (typeof segment === 'object' ? segment.key : segment));
  const words = withoutValue(String(message), valueAt(doc, keys));
  const sentence = keys.length === 0 ? words : `${keys.map(String).join('.')}: ${words}`;
  return sentence.length <= SHOWN_CHARACTERS ? sentence : `${sentence.slice(0, SHOWN_CHARACTERS)}…`;
}

function valueAt(doc: unknown, keys: readonly PropertyKey[]): unknown {
  try {
    return keys.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | null | undefined)?.[key], doc);
  } catch {
    return undefined;
  }
}

/** Libraries like to quote what they were given (`received "x"`, `was 5`): that would carry documents into logs. */
function withoutValue(message: string, value: unknown): string {
  return formsOf(value).reduce((text, form) => {
    const word = form.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    return text.replace(new RegExp(`(?<![\\w])${word}(?![\\w])`, 'g'), '…');
  }, message);
}

function formsOf(value: unknown): readonly string[] {
  switch (typeof value) {
    case 'string':
      return value === '' ? [] : [JSON.stringify(value), value];
    case 'number':
    case 'bigint':
      return [String(value)];
    default:
      return [];
  }
}
