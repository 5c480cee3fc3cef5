import type { Dispatcher } from 'undici';
import type { AttemptResult } from '../answers/reading.js';

/**
 * One request and its answer, as undici's events tell it. undici's own `request()` hides what honesty needs: whether the request was ever
 * begun on a socket, and a way to stop waiting for a connection.
 *
 * Ends once, with the first of: a complete answer, an answer longer than `maxAnswerBytes`, an error, `cancel`.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly result: Promise<AttemptResult>;
  private resolve: (result: AttemptResult) => void = () => undefined;
  private hasEnded = false;
  private wasSent = false;
  private isPrepared = false;
  private controller: Dispatcher.DispatchController | undefined;
  private cancelled: Error | undefined;
  private status = 0;
  private retryAfter: string | undefined;
  private readonly chunks: Buffer[] = [];
  private received = 0;

  constructor(private readonly maxAnswerBytes: number) {
    this.result = new Promise((resolve) => (this.resolve = resolve));
  }

  get isOver(): boolean {
    return this.hasEnded;
  }

  /** The request has all it needs; from here on whatever takes time is the server's or the network's doing. */
  prepared(): void {
    this.isPrepared = true;
  }

  /** Stops waiting now. A request that was not begun never will be. @param isOurs it would have gone on, but we do not want it any more. */
  cancel(cause: Error, isOurs = false): void {
    this.cancelled = cause;
    this.end({ kind: 'no_answer', wasSent: this.wasSent, isOurs: isOurs || !this.isPrepared, cause });
    this.controller?.abort(cause);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    if (this.cancelled === undefined) this.wasSent = true;
    else controller.abort(this.cancelled);
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): void {
    // An interim answer is none; the final one follows.
    if (status < 200) return;
    this.status = status;
    const header = headers['retry-after'];
    this.retryAfter = Array.isArray(header) ? header[0] : header;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.hasEnded) return;
    this.received += chunk.length;
    if (this.received <= this.maxAnswerBytes) {
      this.chunks.push(chunk);
      return;
    }
    this.endAnswered(true);
    controller.abort(new Error('the answer is too long'));
  }

  onResponseEnd(): void {
    this.endAnswered(false);
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.end({ kind: 'no_answer', wasSent: this.wasSent, isOurs: !this.isPrepared, cause: error });
  }

  private endAnswered(isCut: boolean): void {
    const { status, retryAfter } = this;
    this.end({ kind: 'answer', status, retryAfter, body: Buffer.concat(this.chunks), isCut });
  }

  private end(result: AttemptResult): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.resolve(result);
  }
}
