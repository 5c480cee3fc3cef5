import { type Clock, type Random, randomToken, systemClock, systemRandom } from '../clock.js';
import { guardedCall } from '../guarded-call.js';

/** What every nonce begins with, so that listeners of a channel tell those of others from its notifications. */
const ECHO_PREFIX = 'baton-echo:';

/** How much of itself an interval may lack or exceed, so that processes that started together do not probe together. */
const JITTER = 0.1;

/** After a nonce that could not be sent: about as long as a new connection takes. */
const RESEND_MS = 500;

/** A timer that is this part of its time late means that the process stood still: what was heard meanwhile may not be read yet. */
const LATE_PART = 0.25;
const MAX_EXTENSIONS = 3;

export interface EchoProbeOptions {
  /**
   * Sends one NOTIFY with the payload on the listener's channel, over ANOTHER connection: a connection hears its own NOTIFY also behind a transaction
   * pooler, where it hears nobody else's. Resolves when it is committed; must be bounded in time, 3 s for instance.
   */
  readonly send: (payload: string) => Promise<unknown>;
  /** Milliseconds from an echo to the next nonce. Too short: commits for nothing; too long: a dead path stays unknown. Default 4 000. */
  readonly intervalMs?: number;
  /** Milliseconds from the NOTIFY's commit until its echo counts as missed. Too short: a busy server looks deaf. Default 2 000. */
  readonly timeoutMs?: number;
  /** Missed echoes, one behind another, after which the connection is given up. Default 2. */
  readonly misses?: number;
  /** Milliseconds from the sending of a nonce until it was heard. */
  readonly onEcho?: (afterMs: number) => void;
}

export interface EchoProbeContext {
  readonly options: EchoProbeOptions;
  /** The connection hears nothing. Told once; nothing is sent any more. */
  readonly onDeaf: (error: Error) => void;
  readonly clock?: Clock;
  readonly random?: Random;
}

export function isEcho(payload: string): boolean {
  return payload.startsWith(ECHO_PREFIX);
}

/**
 * Proves again and again that one LISTEN connection hears what others send. It is the only way to notice a path that swallows everything without an
 * end, and a pooler that has given the LISTEN to somebody else.
 *
 * new · sending: a nonce is not committed yet · waiting: its echo is due · resting: until the next nonce · stopped: by `stop()`, or deaf.
 *
 * - A nonce that cannot be sent proves nothing: it is no miss, and is sent again half a second later.
 * - Nonces of others, and of earlier connections, prove nothing either.
 * - A process that stood still, or whose clock jumped, gives its connection another time.
 */
export class EchoProbe {
  private readonly prefix = `${ECHO_PREFIX}${randomToken(12)}:`;
  private state: 'new' | 'sending' | 'waiting' | 'resting' | 'stopped' = 'new';
  private nonces = 0;
  private missed = 0;
  private sentAt = 0;
  private isHeard = false;
  private failure: unknown;
  private timer: NodeJS.Timeout | undefined;
  private immediate: NodeJS.Immediate | undefined;
  private prove: () => void = () => undefined;
  private readonly proven = new Promise<void>((resolve) => (this.prove = resolve));
  private readonly clock: Clock;
  private readonly random: Random;

  constructor(private readonly context: EchoProbeContext) {
    this.clock = context.clock ?? systemClock;
    this.random = context.random ?? systemRandom;
  }

  /** Why the last nonce was not sent, as long as none was since. */
  get sendFailure(): unknown {
    return this.failure;
  }

  /** Resolves with the first echo; never, when none comes. */
  start(): Promise<void> {
    if (this.state === 'new') void this.send();
    return this.proven;
  }

  stop(): void {
    this.state = 'stopped';
    clearTimeout(this.timer);
    clearImmediate(this.immediate);
  }

  hear(payload: string): void {
    if (this.state === 'stopped' || !payload.startsWith(this.prefix)) return;
    this.missed = 0;
    this.prove();
    if (payload === this.prefix + this.nonces && !this.isHeard) {
      const afterMs = this.clock.monotonic() - this.sentAt;
      guardedCall('onEcho of a listener', () => this.context.options.onEcho?.(afterMs));
    }
    this.isHeard = true;
    if (this.state === 'waiting') this.rest();
  }

  private async send(): Promise<void> {
    this.state = 'sending';
    this.isHeard = false;
    this.sentAt = this.clock.monotonic();
    try {
      await this.context.options.send(`${this.prefix}${++this.nonces}`);
      this.failure = undefined;
    } catch (error) {
      this.failure = error;
      if (this.isStopped()) return;
      this.timer = setTimeout(() => void this.send(), RESEND_MS);
      return;
    }
    if (this.isStopped()) return;
    // It may come before its acknowledgement: they take different connections.
    if (this.isHeard) this.rest();
    else this.wait(0);
  }

  private wait(extensions: number): void {
    this.state = 'waiting';
    const { timeoutMs = 2_000 } = this.context.options;
    const dueAt = this.clock.monotonic() + timeoutMs;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const isLate = this.clock.monotonic() - dueAt > timeoutMs * LATE_PART;
      if (isLate && extensions < MAX_EXTENSIONS) this.wait(extensions + 1);
      // Timers run before sockets are read: an echo that is there already is read first.
      else this.immediate = setImmediate(() => this.miss());
    }, timeoutMs);
  }

  private miss(): void {
    if (this.state !== 'waiting') return;
    const { misses = 2 } = this.context.options;
    if (++this.missed < misses) return void this.send();
    this.stop();
    this.context.onDeaf(
      new Error(`LISTEN is active and hears nothing: ${misses} notifications over another connection did not arrive`),
    );
  }

  private rest(): void {
    this.state = 'resting';
    const { intervalMs = 4_000 } = this.context.options;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.send(), intervalMs * (1 - JITTER + 2 * JITTER * this.random()));
  }

  private isStopped(): boolean {
    return this.state === 'stopped';
  }
}
