import {
  type AttemptResult,
  errorTexts,
  field,
  impossible,
  type ItemVerdict,
  readAttempt,
  type Reading,
} from './reading.js';

const ACCEPTED: Reading = { kind: 'accepted', rejected: 0, failures: [] };
const TAKEN: ItemVerdict = Object.freeze({ kind: 'accepted', alreadyPresent: false });
const ALREADY_THERE: ItemVerdict = Object.freeze({ kind: 'accepted', alreadyPresent: true });

/** Elasticsearch's errors with status 400 that speak of the index, so that whole queues are not rejected for a setting. */
const OF_THE_INDEX = new Set(['invalid_index_name_exception', 'index_closed_exception']);

/** Different causes an answer; documents beyond share one a status. */
const MAX_CAUSES = 100;

/**
 * What a `_bulk` with `size` documents means; pure. A whole request's status means what it means on the native route.
 *
 * - Only a complete answer in which each document has an item counts, whatever its `errors` says. Anything else is ambiguous, and so is an answer
 *   that speaks of errors without showing one.
 * - Items are told by their place. Their only key is the action's name, and not always ours: Quickwit says `index` whatever was asked.
 * - `hasIds`: documents have ids, so that a conflict says that the document is there. Without, it is a rejection like any other.
 */
export function readBulkAnswer(result: AttemptResult, size: number, nowMs: number, hasIds: boolean): Reading {
  return readAttempt(result, nowMs, (body) => readItems(body, size, hasIds));
}

function readItems(body: Buffer, size: number, hasIds: boolean): Reading {
  let answer: unknown;
  try {
    answer = JSON.parse(body.toString('utf8'));
  } catch {
    return impossible('its answer is not complete');
  }
  const items = field(answer, 'items');
  if (!Array.isArray(items)) return impossible('its answer has no items');
  if (items.length !== size)
    return impossible(
      items.length === 0
        ? `its answer has no item for any of ${size} documents, as from an old Quickwit, or for an index name that it refuses`
        : `its answer has ${items.length} items for ${size} documents`,
    );
  const verdicts = new Judge(hasIds);
  for (const item of items as unknown[]) if (!verdicts.add(item)) return impossible('an item of its answer is none');
  return verdicts.reading(field(answer, 'errors') === true);
}

/** Collects verdicts, at no cost as long as all is well. */
class Judge {
  private readonly causes = new Map<string, Error>();
  private accepted = 0;
  private denied: Extract<ItemVerdict, { readonly kind: 'denied' }> | undefined;
  private isAllDenied = true;
  private judged: ItemVerdict[] | undefined;

  constructor(private readonly hasIds: boolean) {}

  /** False for what is no item. */
  add(item: unknown): boolean {
    const told = onlyValue(item);
    if (typeof told !== 'object' || told === null) return false;
    const { status, error } = told as { readonly status?: unknown; readonly error?: unknown };
    if (typeof status !== 'number' || !Number.isInteger(status) || status < 200 || status > 599) return false;
    if (status < 300 && (error === undefined || error === null)) {
      if (this.judged === undefined) this.accepted++;
      else this.push(TAKEN);
      return true;
    }
    this.push(this.verdict(status, error));
    return true;
  }

  reading(saysErrors: boolean): Reading {
    const { judged, denied } = this;
    if (judged === undefined) return saysErrors ? impossible('it speaks of errors and shows none') : ACCEPTED;
    if (denied !== undefined && this.isAllDenied) return denied;
    return { kind: 'judged', items: judged };
  }

  private push(verdict: ItemVerdict): void {
    this.judged ??= Array.from({ length: this.accepted }, () => TAKEN);
    if (this.accepted > 0 || verdict.kind !== 'denied') this.isAllDenied = false;
    else this.denied ??= verdict;
    this.judged.push(verdict);
  }

  private verdict(status: number, error: unknown): ItemVerdict {
    const { type, reason } = errorTexts(error) ?? { type: undefined, reason: '' };
    const retry = (isAmbiguous: boolean): ItemVerdict => ({
      kind: 'retry',
      isAmbiguous,
      cause: this.cause(status, type, reason),
    });
    switch (status) {
      case 409:
        return this.hasIds ? ALREADY_THERE : { kind: 'rejected', reason: type ?? 'status 409', message: reason };
      case 401:
      case 403:
      case 404:
        return { kind: 'denied', status, cause: this.cause(status, type, reason) };
      case 429:
      case 503:
        return retry(false);
      case 408:
        return retry(true);
      default:
        // A success with an error beside it, a redirection: nothing that a server says.
        if (status < 400 || status >= 500) return retry(true);
        if (type !== undefined && OF_THE_INDEX.has(type))
          return { kind: 'denied', status, cause: this.cause(status, type, reason) };
        return { kind: 'rejected', reason: type ?? `status ${status}`, message: reason };
    }
  }

  /** An error is dear, and what is wrong with a server is the same for most documents. */
  private cause(status: number, type: string | undefined, reason: string): Error {
    const words = [type, reason].filter((part) => part !== undefined && part !== '').join(': ');
    const full = `the server answered ${status} for a document${words === '' ? '' : `: ${words}`}`;
    const text =
      this.causes.has(full) || this.causes.size < MAX_CAUSES ? full : `the server answered ${status} for a document`;
    let cause = this.causes.get(text);
    if (cause === undefined) this.causes.set(text, (cause = new Error(text)));
    return cause;
  }
}

/** Of an object with one field; `undefined` for everything else. */
function onlyValue(item: unknown): unknown {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return undefined;
  let value: unknown;
  let count = 0;
  for (const key in item) {
    if (++count > 1) return undefined;
    value = (item as Readonly<Record<string, unknown>>)[key];
  }
  return value;
}
