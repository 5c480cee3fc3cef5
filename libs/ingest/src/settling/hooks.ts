import { describeError } from '@nest-baton/core';
import { Logger } from '@nestjs/common';
import type { DiscardReason } from './receipt.js';

/** What the server refused in one request. Holds no documents. */
export interface RejectReport {
  readonly index: string;
  /** Documents of the request. */
  readonly documents: number;
  /** Documents that the server says it refused. */
  readonly rejected: number;
  /** Of those, how many could not be told apart from accepted ones: their receipts say `accepted` with `attribution: 'batch'`. */
  readonly unattributed: number;
  /** The server's words, the first ten. */
  readonly failures: readonly { readonly reason: string; readonly message: string }[];
}

/** Called for what no receipt tells. What a hook throws is logged and changes nothing. */
export interface IngestHooks {
  /**
   * A fire-and-forget document is certainly not on the server. `doc` is what was handed in when it never got into the buffer, otherwise
   * parsed back from the bytes that would have been sent. Called in the stack of whatever found out, so it must be quick.
   */
  readonly onDiscard?: (doc: unknown, reason: DiscardReason) => void;
  /** The server refused documents, tracked ones included. */
  readonly onReject?: (report: RejectReport) => void;
  /**
   * Fire-and-forget documents that were admitted and are not known to be on the server: at `close()`, those never sent and those without an
   * answer; with `ambiguous: 'report'`, those of an attempt without an answer. `close()` awaits every call, each at most `hookTimeout`.
   */
  readonly onUndelivered?: (docs: readonly unknown[]) => void | Promise<void>;
}

/** Calls the user's hooks so that nothing they do reaches the code that settles documents. */
export class HookCalls {
  private readonly logger: Logger;
  /** Calls of onUndelivered that have not ended, and whose time is not up. */
  private readonly running = new Set<Promise<void>>();

  constructor(
    private readonly hooks: IngestHooks,
    private readonly hookTimeoutMs: number,
    name: string,
  ) {
    this.logger = new Logger(`Ingest:${name}`);
  }

  get wantsDiscarded(): boolean {
    return this.hooks.onDiscard !== undefined;
  }

  get wantsUndelivered(): boolean {
    return this.hooks.onUndelivered !== undefined;
  }

  discard(doc: unknown, reason: DiscardReason): void {
    if (this.hooks.onDiscard !== undefined) void this.guarded('onDiscard', () => this.hooks.onDiscard?.(doc, reason));
  }

  reject(report: RejectReport): void {
    void this.guarded('onReject', () => this.hooks.onReject?.(report));
  }

  /** What close waits for, by `whenIdle`. */
  undelivered(docs: readonly unknown[]): void {
    if (docs.length === 0) return;
    const call = this.callUndelivered(docs).finally(() => this.running.delete(call));
    this.running.add(call);
  }

  /** Resolves when every call of onUndelivered has ended that has begun, each at the latest after `hookTimeout`. Never rejects. */
  async whenIdle(): Promise<void> {
    await Promise.all(this.running);
  }

  private async callUndelivered(docs: readonly unknown[]): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const timeUp = new Promise<'time up'>((resolve) => {
      timer = setTimeout(resolve, this.hookTimeoutMs, 'time up');
    });
    const result = await Promise.race([this.guarded('onUndelivered', () => this.hooks.onUndelivered?.(docs)), timeUp]);
    clearTimeout(timer);
    if (result === 'time up')
      this.logger.error('hook onUndelivered did not end in time', {
        documents: docs.length,
        hookTimeoutMs: this.hookTimeoutMs,
      });
  }

  private async guarded(hook: keyof IngestHooks, call: () => unknown): Promise<void> {
    try {
      await call();
    } catch (error) {
      this.logger.error(`hook ${hook} failed`, { error: describeError(error) });
    }
  }
}
