import type { SpanContext } from '@opentelemetry/api';
import { callError } from './call-error.js';
import type { DocumentOwner } from './document-owner.js';
import type { DocumentOutcome } from './receipt.js';

/**
 * A call that waits for one document and can be ended by nothing else: the shape of most calls, so it is one promise and this object.
 * Settles once, as `TrackedCall` does.
 */
export class LoneCall implements DocumentOwner {
  readonly canAbort = false;
  readonly settling: Promise<void>;
  private hasSettled = false;
  private resolve!: () => void;
  private reject!: (error: Error) => void;

  constructor(readonly context: SpanContext | undefined) {
    this.settling = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  settle(_position: number, outcome: DocumentOutcome): boolean {
    if (this.hasSettled) return false;
    this.hasSettled = true;
    const error = outcome.status === 'accepted' ? undefined : callError([outcome], undefined);
    if (error === undefined) this.resolve();
    else this.reject(error);
    return true;
  }

  isPut(): void {}
}
