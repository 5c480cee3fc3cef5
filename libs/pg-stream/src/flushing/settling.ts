import { systemClock } from '@nest-baton/core';
import { isConflict, isLostConnection, type LostConnection } from '../connecting/lost-connection.js';
import { isRefusal, refusalError } from '../writing/refusal.js';
import type { WriteItem } from '../writing/write-encoding.js';
import type { Written } from '../writing/writing-store.js';
import { answersOf } from './answers.js';
import { landedSlice } from '../reading/slice.js';
import type { Landed } from '../waking/watched-streams.js';
import type { StreamLine } from './stream-line.js';
import { mayRepeat, type WriteCall, type WriteOwner } from './write-call.js';
import { busyError, conflictError, isAboutData, isLockTimeout, lostError } from './write-failures.js';

/** What a line does next: go on with what is at its head now, or send the same again after a while. */
export type Next = 'go-on' | 'repeat';

export interface SettlingOptions {
  /** A commit has moved the stream, by what has landed where that is known. */
  readonly moved: (stream: string, landed?: Landed) => void;
  /** A call is answered, and its memory free. */
  readonly left: (call: WriteCall) => void;
  /** How long a call that may be repeated is repeated after its first lost connection. */
  readonly patienceMs: number;
  readonly isStopping: () => boolean;
}

/** Answers the calls at the head of a line, whatever came of their statement: each call is answered once, in the order of the line. */
export class Settling {
  constructor(private readonly options: SettlingOptions) {}

  succeeded(line: StreamLine, written: Written): Next {
    if (isRefusal(written)) {
      this.refuse(line, (call) => refusalError(line.stream, call.producer, written));
      return 'go-on';
    }
    if (written.verdict === 'overlap') {
      line.splitHead();
      return 'go-on';
    }
    const [{ owner, wasSent }] = line.head().calls as [WriteCall];
    if (written.verdict === 'duplicate' && owner !== undefined && !wasSent) {
      this.refuse(line, (call) => refusalError(line.stream, call.producer, { refusal: 'taken' }));
      return 'go-on';
    }
    const { item } = line.head();
    const answers = answersOf(line.head(), written);
    const calls = line.shift();
    if (written.verdict !== 'duplicate' || answers[0]?.wasSentBefore === true)
      this.options.moved(line.stream, landedIn(item, written));
    calls.forEach((call, nth) => {
      this.options.left(call);
      call.resolve(answers[nth] as (typeof answers)[number]);
    });
    return 'go-on';
  }

  /** @param isOnly nothing else was in the statement that failed. */
  failed(line: StreamLine, error: unknown, isOnly: boolean): Next {
    if (isLostConnection(error)) return this.lost(line, error);
    if (isAboutData(error) && !isConflict(error)) {
      if (!isOnly) {
        line.isSuspect = true;
        return 'go-on';
      }
      if (line.head().calls.length > 1) {
        line.splitHead();
        return 'go-on';
      }
    }
    this.refuse(line, () => {
      if (isConflict(error)) return conflictError(line.stream, error);
      return isLockTimeout(error) ? busyError(line.stream, error) : error;
    });
    return 'go-on';
  }

  private lost(line: StreamLine, { wasSent, cause }: LostConnection): Next {
    const { calls } = line.head();
    const now = systemClock.monotonic();
    for (const call of calls) {
      call.wasSent ||= wasSent;
      call.repeatUntil ??= now + this.options.patienceMs;
    }
    const [first] = calls as [WriteCall];
    if (mayRepeat(first) && now < (first.repeatUntil as number) && !this.options.isStopping()) {
      line.losses++;
      return 'repeat';
    }
    this.refuse(line, (call) => lostError(line.stream, call.wasSent, cause));
    return 'go-on';
  }

  /** With the calls at the head, what their owners have behind them: it must not overtake them. */
  private refuse(line: StreamLine, errorOf: (call: WriteCall) => unknown): void {
    const answered: (readonly [WriteCall, unknown])[] = [];
    const errors = new Map<WriteOwner, unknown>();
    for (const call of line.shift()) {
      const error = (call.owner && errors.get(call.owner)) ?? errorOf(call);
      if (call.owner !== undefined) errors.set(call.owner, error);
      answered.push([call, error]);
    }
    if (errors.size > 0)
      for (const call of line.removeOwnedBy(errors)) answered.push([call, errors.get(call.owner as WriteOwner)]);
    for (const [owner, error] of errors) owner.refused(error);
    for (const [call, error] of answered) {
      this.options.left(call);
      call.reject(error);
    }
  }
}

function landedIn({ chunks }: WriteItem, written: Written): Landed | undefined {
  if (isRefusal(written) || written.verdict !== 'appended' || written.landed === undefined) return undefined;
  const { firstIndex, landed } = written;
  return () => landedSlice(landed.streamId, firstIndex, chunks, landed.createdAt);
}
