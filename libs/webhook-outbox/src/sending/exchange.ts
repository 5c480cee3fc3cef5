import { describeError, errorCode } from '@nest-baton/core';
import type { Dispatcher } from 'undici';
import { MAX_CHARACTERS } from '../outcomes/sanitised-text.js';
import type { Answer } from './answer.js';
import { REFUSED_ADDRESS } from './guarded-connector.js';

type Headers = Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseStart']>>[2];

/** `103 Early Hints` and the like before the answer: a handful is usual, a flood keeps the processor busy until the deadline. */
const MAX_INFORMATIONAL = 32;

/** UTF-8 takes at most so many bytes for the characters that are stored. */
const MAX_TEXT_BYTES = 4 * MAX_CHARACTERS;

/** Why a request ends before its answer does. */
type Ending = 'cut' | 'timeout' | 'flood' | 'enough';

/**
 * One request and its answer, as undici tells of them; `answered` is called once.
 *
 * - The status is the answer: what happens to the body after it changes nothing.
 * - Of the body, only what will be stored is kept: nothing of a success, the beginning of anything else. The rest is read for the sake of the
 *   connection, up to the bound, and dropped as it comes.
 * - Ended before its connection stands, it tells so at once, and is never sent when the connection comes.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  private controller: Dispatcher.DispatchController | undefined;
  private ending: Ending | undefined;
  private isTold = false;
  private informational = 0;
  private status = 0;
  private headers: Headers = {};
  private readonly kept: Buffer[] = [];
  private bytes = 0;

  constructor(
    private readonly maxResponseBytes: number,
    private readonly answered: (answer: Answer) => void,
  ) {}

  /** Closes the connection, whatever runs on it. */
  end(ending: Ending): void {
    if (this.ending !== undefined || this.isTold) return;
    this.ending = ending;
    if (this.controller === undefined) this.fail(undefined);
    else this.controller.abort(new Error(ending));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    if (this.ending !== undefined) controller.abort(new Error(this.ending));
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Headers): void {
    if (status >= 200) {
      this.status = status;
      this.headers = headers;
    } else if (++this.informational > MAX_INFORMATIONAL) this.end('flood');
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    this.keep(chunk.subarray(0, this.maxResponseBytes - this.bytes));
    this.bytes += chunk.length;
    if (this.bytes > this.maxResponseBytes) this.end('enough');
  }

  onResponseEnd(): void {
    this.tell(this.answer());
  }

  onResponseError(_: Dispatcher.DispatchController | undefined, error: unknown): void {
    this.fail(error);
  }

  private keep(chunk: Buffer): void {
    if (isSuccess(this.status) || this.bytes >= MAX_TEXT_BYTES) return;
    // A copy, since a piece of it would hold all that the socket read with it.
    this.kept.push(Buffer.from(chunk.subarray(0, MAX_TEXT_BYTES - this.bytes)));
  }

  private fail(error: unknown): void {
    // Once there is a status, it stands, and what came of the text is kept.
    this.tell(this.status > 0 ? this.answer() : this.failure(error));
  }

  private failure(error: unknown): Answer {
    switch (this.ending) {
      case 'cut':
        return { kind: 'cut' };
      case 'timeout':
        return { kind: 'timeout' };
      case 'flood':
      case 'enough':
        return { kind: 'network', error: 'a flood of informational answers' };
      case undefined:
        if (errorCode(error) === REFUSED_ADDRESS) return { kind: 'refused', error: describeError(error) };
        return isTimeout(error) ? { kind: 'timeout' } : { kind: 'network', error: describeError(error) };
    }
  }

  private answer(): Answer {
    const { 'retry-after': retryAfter, 'webhook-delivery': control } = this.headers;
    return {
      kind: 'answer',
      status: this.status,
      retryAfter: Array.isArray(retryAfter) ? retryAfter[0] : retryAfter,
      control: Array.isArray(control) ? control.join(',') : control,
      text: this.kept.length === 0 ? '' : Buffer.concat(this.kept).toString('utf8'),
    };
  }

  private tell(answer: Answer): void {
    if (this.isTold) return;
    this.isTold = true;
    this.answered(answer);
  }
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

function isTimeout(error: unknown): boolean {
  const code = errorCode(error) ?? '';
  return ['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'ETIMEDOUT'].includes(code);
}
