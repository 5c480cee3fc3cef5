import { getEventListeners } from 'node:events';
import type { DocumentOutcome } from '@nest-baton/ingest';
import { NO_LIMIT } from './schedule.js';
import type { Call, HandedIn, ScheduleRun } from './schedule-run.js';

/** Reasons that are given only to what was never sent. */
const NEVER_SENT = ['encode', 'buffer_full', 'aborted', 'invalid'];

type Discarded = Extract<DocumentOutcome, { readonly status: 'discarded' }>;
type Counts = Record<DocumentOutcome['status'], number>;

/** After a run has ended: compares what was told of each document with what the server knows. */
export async function checkOutcomes(run: ScheduleRun): Promise<void> {
  const told: Counts = { accepted: 0, discarded: 0, unknown: 0 };
  let unobserved = 0;
  for (const call of run.calls) {
    if (call.receipt !== undefined) await checkReceipt(run, call, told);
    else unobserved += checkSync(run, call);
  }
  for (const doc of run.docs.values()) if (!doc.isTracked) told[checkUntracked(run, doc)]++;
  const { accepted, discarded, unknown } = run.service.stats();
  const counted = { accepted, discarded: Object.values(discarded).reduce((sum, count) => sum + count, 0), unknown };
  for (const status of ['accepted', 'discarded', 'unknown'] as const)
    if (counted[status] < told[status] || counted[status] > told[status] + unobserved)
      run.violation(`stats say ${counted[status]} ${status}, callers were told of ${told[status]}`);
  checkFlags(run);
  checkOrder(run);
  for (const signal of run.signals)
    if (getEventListeners(signal, 'abort').length > 0) run.violation('a listener is left on a signal');
}

async function checkReceipt(run: ScheduleRun, call: Call, told: Counts): Promise<void> {
  if (call.receipt?.settled !== true) return run.violation(`the receipt of ${call.uids.join()} has not settled`);
  const outcomes = await call.receipt.outcomes;
  if (outcomes.length !== call.uids.length)
    run.violation(`${outcomes.length} outcomes for ${call.uids.length} documents`);
  outcomes.forEach((outcome, i) => {
    told[outcome.status]++;
    const uid = call.uids[i] ?? -1;
    switch (outcome.status) {
      case 'accepted':
        checkAccepted(run, uid, outcome);
        break;
      case 'discarded':
        checkDiscarded(run, uid, outcome.reason);
        if (outcome.reason === 'aborted' && call.signal?.aborted !== true) run.violation(`${uid} aborted by nobody`);
        break;
      case 'unknown':
        checkUnknown(run, uid);
    }
  });
}

/** Returns how many documents it knows nothing of. */
function checkSync(run: ScheduleRun, call: Call): number {
  const error = call.result?.error as
    { code?: string; failures?: readonly (Discarded & { index: number })[] } | undefined;
  if (call.result === undefined) run.violation(`ingestSync of ${call.uids.join()} has not ended`);
  if (error?.code === 'INGEST_NOT_CONFIRMED') {
    const isOpen = call.signal?.aborted === true || call.uids.some((uid) => run.server.factsOf(uid).ambiguous > 0);
    if (!isOpen) run.violation(`ingestSync of ${call.uids.join()} is not confirmed for no reason`);
    return call.uids.length;
  }
  const failed = new Map((error?.failures ?? []).map(({ index, reason }) => [index, reason]));
  call.uids.forEach((uid, i) => {
    const reason = failed.get(i);
    if (reason !== undefined) checkDiscarded(run, uid, reason);
    else if (!isStored(run, uid)) run.violation(`ingestSync says that ${uid} is on the server`);
  });
  return call.uids.length;
}

function checkUntracked(run: ScheduleRun, { uid }: HandedIn): DocumentOutcome['status'] {
  const reasons = run.discarded.get(uid) ?? [];
  const handedOver = run.undelivered.get(uid) ?? 0;
  const [reason] = reasons;
  if (reasons.length > 1) run.violation(`${uid} was told as discarded ${reasons.join(' and ')}`);
  if (handedOver > 1) run.violation(`${uid} was handed over ${handedOver} times`);
  if (reason !== undefined) {
    checkDiscarded(run, uid, reason);
    if (handedOver > 0 && reason !== 'closed') run.violation(`${uid} was discarded (${reason}) and handed over`);
    return 'discarded';
  }
  if (handedOver > 0) {
    checkUnknown(run, uid);
    return 'unknown';
  }
  if (!isStored(run, uid)) run.violation(`${uid} is neither on the server nor reported`);
  return 'accepted';
}

/** A server that only counts what it rejects leaves it to nobody to say which. */
function isStored(run: ScheduleRun, uid: number): boolean {
  return run.server.factsOf(uid).stored > 0 || run.docs.get(uid)?.kind === 'bad';
}

function checkAccepted(
  run: ScheduleRun,
  uid: number,
  { maybeDuplicate, attribution, alreadyPresent }: Extract<DocumentOutcome, { readonly status: 'accepted' }>,
): void {
  const { stored, ambiguous } = run.server.factsOf(uid);
  const isExcused = attribution === 'batch' && run.docs.get(uid)?.kind === 'bad';
  if (stored === 0 && !isExcused) run.violation(`${uid} is accepted, and not on the server`);
  if (stored > 1 && !maybeDuplicate) run.violation(`${uid} is there ${stored} times, and not flagged`);
  if (maybeDuplicate !== ambiguous > 0)
    run.violation(`${uid}: maybeDuplicate ${maybeDuplicate} after ${ambiguous} attempts without an answer`);
  if (alreadyPresent) run.violation(`${uid} has no id that could be present already`);
}

function checkDiscarded(run: ScheduleRun, uid: number, reason: string): void {
  const { sent, stored, ambiguous } = run.server.factsOf(uid);
  if (NEVER_SENT.includes(reason) && sent > 0) run.violation(`${uid} was discarded (${reason}) after it had been sent`);
  if (stored > 0 && ambiguous === 0) run.violation(`${uid} was discarded (${reason}) and is on the server`);
  if (ambiguous > 0 && reason !== 'rejected')
    run.violation(`${uid} was discarded (${reason}), and nobody can know that`);
}

function checkUnknown(run: ScheduleRun, uid: number): void {
  if (run.server.factsOf(uid).ambiguous === 0) run.violation(`${uid} is unknown, although every answer came`);
}

/** Every possible duplicate is counted, and nothing else. */
function checkFlags(run: ScheduleRun): void {
  let possible = 0;
  let repeated = 0;
  for (const { uid, isTracked } of run.docs.values()) {
    const { ambiguous, stored } = run.server.factsOf(uid);
    if (ambiguous > 0) possible++;
    if (!isTracked && stored > 1 && !run.discarded.has(uid) && !run.undelivered.has(uid)) repeated++;
  }
  if (run.maybeDuplicates > possible)
    run.violation(`${run.maybeDuplicates} flagged of ${possible} possible duplicates`);
  if (repeated > run.maybeDuplicates) run.violation(`${repeated} duplicates, ${run.maybeDuplicates} flagged`);
}

/** With one request at a time documents are stored in the order in which they came, splits and other lanes aside. */
function checkOrder(run: ScheduleRun): void {
  const { options, server, hooks } = run.schedule;
  const splits = server.faults.some((fault) => fault?.kind === 'status' && fault.status < 429);
  const isWhole = server.limitBytes === NO_LIMIT && !splits && server.details !== 'old' && hooks === 'quiet';
  const hasPoison = [...run.docs.values()].some(({ kind }) => kind === 'poison');
  if (options.concurrency !== 1 || options.ambiguous !== 'retry' || !isWhole || hasPoison) return;
  const seen = new Set<number>();
  let last = -1;
  for (const uid of run.server.store) {
    if (seen.has(uid) || (options.commit !== 'auto' && run.docs.get(uid)?.isTracked === true)) continue;
    seen.add(uid);
    if (uid < last) return run.violation(`${uid} was stored behind ${last}`);
    last = uid;
  }
}
