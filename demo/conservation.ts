import { checkConservation, type ConservationReport } from '@nest-baton/testing';

/** What one run of a phase came to, as seen from outside the service. */
export interface RunEvidence {
  readonly id: string;
  readonly source: { readonly name: string; readonly lines: number; readonly sha256: string };
  readonly state: string;
  readonly attempt: number;
  readonly worker: string | null;
  readonly read: {
    readonly sha256: string;
    readonly chunks: number;
    readonly cuts: number;
    readonly status: string | undefined;
  };
  /** Every request that was received for this run. */
  readonly webhooks: readonly ReceivedEvidence[];
  /** How often each line's document arrived in the sink with that line's text, by index. */
  readonly documents: ReadonlyMap<number, number>;
}

export interface ReceivedEvidence {
  /** The `webhook-id`. */
  readonly id: string;
  /** By `standardwebhooks`. */
  readonly isVerified: boolean;
  /** False: the receiver refused it, and it must come again. */
  readonly isAccepted: boolean;
}

/** The victim's runs at the moment of the kill. */
export interface Victim {
  readonly worker: string;
  readonly runs: readonly { readonly id: string; readonly indexedTo: number; readonly chunks: number }[];
}

export interface ConservationRow {
  readonly claim: string;
  readonly expected: string;
  readonly found: string;
  readonly holds: boolean;
}

/** The conservation count: what went in against what came out, row by row. Pure. */
export function conservation(
  runs: readonly RunEvidence[],
  victim: Victim,
  pageChunks: number,
): readonly ConservationRow[] {
  const total = runs.length;
  const count = (claim: string, holds: (run: RunEvidence) => boolean): ConservationRow => {
    const found = runs.filter(holds).length;
    return { claim, expected: `${total}`, found: `${found}`, holds: found === total };
  };
  const runCount = checkRuns(runs);
  const documents = checkDocuments(runs, victim, pageChunks);
  const lacking = (report: ConservationReport, ...kinds: readonly string[]): number =>
    report.violations.filter(({ kind }) => kinds.includes(kind)).length;
  const done = total - lacking(runCount, 'lost');
  const distinct = documents.admitted - lacking(documents, 'not_seen');
  const strays = lacking(documents, 'repeated');
  const takenOver = runs.filter(({ id }) => victim.runs.some((run) => run.id === id));
  const begun = victim.runs.filter(({ chunks }) => chunks > 0);
  const ids = runs.flatMap(({ webhooks }) => webhooks.slice(0, 1).map(({ id }) => id));
  const moved = takenOver.filter(({ attempt, worker }) => attempt >= 2 && worker !== null && worker !== victim.worker);
  return [
    row('runs accepted = runs done', total, done, done === total),
    count('bytes over SSE = source, by SHA-256', ({ read, source }) => read.sha256 === source.sha256),
    count('streams that ended as done', ({ read }) => read.status === 'done'),
    count('readers cut, and resumed', ({ read }) => read.cuts > 0),
    count('runs with their webhook accepted', ({ webhooks }) => webhooks.some(({ isAccepted }) => isAccepted)),
    count('webhooks all verified', ({ webhooks }) => webhooks.every(({ isVerified }) => isVerified)),
    count('webhook ids stable over attempts', ({ webhooks }) => new Set(webhooks.map(({ id }) => id)).size === 1),
    row('webhook ids, one for each run', total, new Set(ids).size, new Set(ids).size === total),
    row(
      'distinct documents = lines, text for text',
      documents.admitted,
      distinct,
      distinct === documents.admitted && lacking(documents, 'never_admitted') === 0,
    ),
    row('duplicate documents outside pages open at the kill', 0, strays, strays === 0),
    row('unfinished runs of the victim with chunks, at least 2', '>= 2', begun.length, begun.length >= 2),
    row(
      'all unfinished runs of the victim on another worker, attempt >= 2',
      takenOver.length,
      moved.length,
      moved.length === takenOver.length,
    ),
  ];
}

/** A run that is not done is lost: nothing else was asked of the service. */
function checkRuns(runs: readonly RunEvidence[]): ConservationReport {
  const idsOf = (list: readonly RunEvidence[]) => list.map(({ id }) => id);
  return checkConservation({
    what: 'runs',
    admitted: idsOf(runs),
    ended: { done: idsOf(runs.filter(({ state }) => state === 'done')) },
  });
}

/**
 * Each line is indexed, once. A page was open at the kill when it began at the victim's `indexed_to`: the server may have had it without the
 * victim's knowing, and then the next owner sends it again.
 */
function checkDocuments(runs: readonly RunEvidence[], victim: Victim, pageChunks: number): ConservationReport {
  const lines = runs.flatMap(({ id, source }) => Array.from({ length: source.lines }, (_, i) => `${id}:${i}`));
  const seen = runs.flatMap(({ id, documents }) =>
    [...documents].flatMap(([index, times]) => Array<string>(times).fill(`${id}:${index}`)),
  );
  const open = victim.runs.flatMap(({ id, indexedTo }) =>
    Array.from({ length: pageChunks }, (_, i) => `${id}:${indexedTo + i}`),
  );
  return checkConservation({
    what: 'documents',
    admitted: lines,
    ended: { indexed: lines },
    effects: { arrived: { seen, requiredFor: ['indexed'], mayRepeat: open } },
  });
}

export interface DuplicateDocument {
  readonly id: string;
  /** How often it arrived. */
  readonly times: number;
  readonly wasOpenAtKill: boolean;
}

/** Documents that arrived more than once, those among them that may have. Pure. */
export function duplicateDocuments(
  runs: readonly RunEvidence[],
  victim: Victim,
  pageChunks: number,
): readonly DuplicateDocument[] {
  return checkDocuments(runs, victim, pageChunks).repetitions.map(({ id, times, isFlagged }) => ({
    id,
    times,
    wasOpenAtKill: isFlagged,
  }));
}

function row(claim: string, expected: number | string, found: number, holds: boolean): ConservationRow {
  return { claim, expected: `${expected}`, found: `${found}`, holds };
}
