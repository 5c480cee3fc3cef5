import type { Batch } from '../batching/batch.js';
import type { DocumentOutcome } from '../settling/receipt.js';
import type { IngestReporter } from '../operating/reporter.js';
import type { Ledger } from '../settling/ledger.js';
import type { Delivery, Verdict } from './delivery.js';
import { ISOLATION_BUDGET, judgeHalves } from './isolation.js';
import { matchFailures, type ParseFailure } from '../answers/match-failures.js';
import { acceptedOutcome, outcomeOfItem, rejectedOutcome } from '../answers/outcomes.js';
import type { ItemVerdict } from '../answers/reading.js';

type Refused = Extract<Verdict, { readonly kind: 'refused' }>;

type RetriedItem = Extract<ItemVerdict, { readonly kind: 'retry' }>;

interface Search {
  requestsLeft: number;
  readonly detailed: boolean;
}

interface Part<Item> {
  readonly batch: Batch;
  /** What was said of each of its documents. */
  readonly items: readonly Item[];
}

/** Failures that a report quotes. */
const MAX_QUOTED = 10;

/**
 * Takes a batch to its end: every document of it has settled when `deliver` resolves. Splits run one after the other in the batch's own
 * place, so the order of documents survives, and a bad batch never takes more than one request at a time.
 */
export class Courier {
  constructor(
    private readonly index: string,
    private readonly delivery: Delivery,
    private readonly ledger: Ledger,
    private readonly reporter: IngestReporter,
  ) {}

  async deliver(batch: Batch): Promise<void> {
    const refused = await this.tryWhole(batch);
    if (refused !== undefined) await this.isolate(batch, refused);
  }

  /** As `tryPart`; a 400 is first asked again without details, since that is how an old server says that it has none. */
  private async tryWhole(batch: Batch): Promise<(Refused & { readonly search: Search }) | undefined> {
    const detailed = this.delivery.asksForDetails();
    const first = await this.tryPart(batch, detailed);
    if (first === undefined) return undefined;
    const search = { requestsLeft: ISOLATION_BUDGET - 1, detailed };
    if (!detailed || first.status !== 400) return { ...first, search };
    const second = await this.tryPart(batch, false, () => this.delivery.rememberNoDetails());
    if (second === undefined) return undefined;
    return { ...second, search: { requestsLeft: ISOLATION_BUDGET - 2, detailed: second.message === first.message } };
  }

  /** Sends and settles, or returns the refusal of a batch that is still whole. */
  private async tryPart(batch: Batch, detailed: boolean, onAccepted?: () => void): Promise<Refused | undefined> {
    const verdict = await this.attempt(batch, detailed);
    switch (verdict.kind) {
      case 'accepted':
        onAccepted?.();
        this.settleAccepted(batch, verdict.rejected, verdict.failures);
        return undefined;
      case 'judged':
        await this.settleJudged(batch, verdict.items);
        return undefined;
      case 'too_large':
        if (batch.size === 1) this.discardAll(batch, 'too_large', verdict.cause);
        else for (const part of batch.split(batch.size >> 1)) await this.deliver(part);
        return undefined;
      case 'refused':
        return verdict;
      case 'denied':
        this.discardAll(batch, 'server', verdict.cause);
        return undefined;
      case 'unknown':
        this.settleAll(batch, { status: 'unknown', cause: verdict.cause });
        return undefined;
      case 'closed':
        this.discardAll(batch, 'closed', undefined);
        return undefined;
    }
  }

  /** A defect of ours, such as a compression that fails, must leave nobody waiting: nobody knows, then. */
  private async attempt(batch: Batch, detailed: boolean): Promise<Verdict> {
    try {
      return await this.delivery.attempt(batch, detailed);
    } catch (error) {
      return { kind: 'unknown', cause: error };
    }
  }

  /** A lone document has nothing to be compared with, and a wrong request must not pass for a wrong document: `server`. */
  private async isolate(batch: Batch, refused: Refused & { readonly search: Search }): Promise<void> {
    const { search } = refused;
    if (batch.size === 1) return this.discardAll(batch, 'server', refused.cause);
    const [left, right] = batch.split(batch.size >> 1);
    const leftRefused = await this.spend(left, search);
    const rightRefused = await this.spend(right, search);
    if (judgeHalves(refused.message, leftRefused?.message, rightRefused?.message) === 'search') {
      if (leftRefused !== undefined) await this.search(left, leftRefused, search);
      if (rightRefused !== undefined) await this.search(right, rightRefused, search);
      return;
    }
    const isSingle = left.size === 1;
    const [single, rest] = isSingle ? [left, undefined] : left.split(1);
    const singleRefused = isSingle ? leftRefused : await this.spend(single, search);
    if (singleRefused !== undefined && singleRefused.message === refused.message) {
      for (const part of [single, rest, right]) if (part !== undefined) this.discardAll(part, 'server', refused.cause);
      return;
    }
    if (singleRefused !== undefined) await this.search(single, singleRefused, search);
    if (rest !== undefined) {
      const restRefused = await this.spend(rest, search);
      if (restRefused !== undefined) await this.search(rest, restRefused, search);
    }
    if (rightRefused !== undefined) await this.search(right, rightRefused, search);
  }

  /** The documents are known to be at fault: halve until each guilty one stands alone, or the budget is spent. */
  private async search(batch: Batch, refused: Refused, search: Search): Promise<void> {
    if (batch.size === 1) {
      this.reporter.rejected(
        this.rejectReport(1, 1, 0, [{ reason: `status ${refused.status}`, message: refused.message }]),
      );
      return this.discardAll(batch, 'rejected', refused.cause);
    }
    for (const part of batch.split(batch.size >> 1)) {
      if (search.requestsLeft <= 0) {
        this.discardAll(part, 'server', refused.cause);
        continue;
      }
      const partRefused = await this.spend(part, search);
      if (partRefused !== undefined) await this.search(part, partRefused, search);
    }
  }

  private async spend(part: Batch, search: Search): Promise<Refused | undefined> {
    search.requestsLeft--;
    return this.tryPart(part, search.detailed);
  }

  /** 200, the only success. Which documents the server rejected is told by their bytes, as far as it can be told. */
  private settleAccepted(batch: Batch, rejected: number, failures: readonly ParseFailure[]): void {
    if (rejected === 0) return this.settleAll(batch, acceptedOutcome('document'));
    const matched = matchFailures(batch.size, (line) => batch.line(line), failures);
    const isAll = rejected === batch.size;
    const unattributed = isAll ? 0 : rejected - matched.size;
    const rest = isAll ? rejectedOutcome(undefined) : acceptedOutcome(unattributed > 0 ? 'batch' : 'document');
    const report = this.rejectReport(batch.size, rejected, unattributed, failures);
    this.ledger.settle(batch, (line) => {
      const failure = matched.get(line);
      return failure === undefined ? rest : rejectedOutcome(failure);
    });
    this.reporter.rejected(report);
  }

  /** A verdict for each document. What the server could not take now is tried again by itself, never along with what it has judged. */
  private async settleJudged(batch: Batch, items: readonly ItemVerdict[]): Promise<void> {
    const [again, judged] = pick({ batch, items }, isRetried);
    if (judged !== undefined) this.settleItems(judged.batch, judged.items);
    if (again === undefined) return;
    const retried = { batch: again.batch, items: again.items.filter(isRetried) };
    const [ambiguous, certain] = pick(retried, ({ isAmbiguous }) => isAmbiguous);
    if (ambiguous !== undefined) await this.tryAgain(ambiguous);
    if (certain !== undefined) await this.tryAgain(certain);
  }

  private async tryAgain({ batch, items: [item] }: Part<RetriedItem>): Promise<void> {
    if (item === undefined) return;
    const { cause, isAmbiguous } = item;
    if (isAmbiguous && this.delivery.markAmbiguous(batch, cause))
      return this.settleAll(batch, { status: 'unknown', cause });
    await this.delivery.backOff(batch, { cause, isAmbiguous, retryAfterMs: undefined });
    await this.deliver(batch);
  }

  private settleItems(batch: Batch, items: readonly ItemVerdict[]): void {
    const rejections = items.filter((item) => item.kind === 'rejected');
    const denials = items.filter((item) => item.kind === 'denied');
    this.ledger.settle(batch, (line) => outcomeOfItem(items[line] as Exclude<ItemVerdict, RetriedItem>));
    if (rejections.length > 0) this.reporter.rejected(this.rejectReport(batch.size, rejections.length, 0, rejections));
    const [denial] = denials;
    if (denial !== undefined)
      this.reporter.itemsDenied({ documents: denials.length, status: denial.status, cause: denial.cause });
  }

  private discardAll(batch: Batch, reason: 'too_large' | 'server' | 'closed' | 'rejected', cause: unknown): void {
    this.settleAll(batch, { status: 'discarded', reason, ...(cause === undefined ? {} : { cause }) });
  }

  private settleAll(batch: Batch, outcome: DocumentOutcome): void {
    this.ledger.settleAll(batch, outcome);
  }

  private rejectReport(
    documents: number,
    rejected: number,
    unattributed: number,
    failures: readonly { readonly reason: string; readonly message: string }[],
  ) {
    const quoted = failures.slice(0, MAX_QUOTED).map(({ reason, message }) => ({ reason, message }));
    return { index: this.index, documents, rejected, unattributed, failures: quoted };
  }
}

function isRetried(item: ItemVerdict): item is RetriedItem {
  return item.kind === 'retry';
}

/** The documents for which `isPicked` holds, as a batch of their own, and the rest. `undefined`: there are none. */
function pick<Item>(
  { batch, items }: { readonly batch: Batch; readonly items: readonly Item[] },
  isPicked: (item: Item) => boolean,
): readonly [picked: Part<Item> | undefined, rest: Part<Item> | undefined] {
  const picked = items.filter(isPicked);
  if (picked.length === 0) return [undefined, { batch, items }];
  if (picked.length === items.length) return [{ batch, items }, undefined];
  const isLinePicked = items.map(isPicked);
  const [one, other] = batch.divide((line) => isLinePicked[line] === true);
  return [
    { batch: one, items: picked },
    { batch: other, items: items.filter((_, line) => isLinePicked[line] !== true) },
  ];
}
