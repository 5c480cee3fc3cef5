import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { systemClock } from '@nest-baton/core';
import { BackendFailedError } from '../testing.errors.js';
import type { Account } from './account.js';
import { guard } from './guard.js';

export interface ServerProgram {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly account: Account | undefined;
  /** What ends it and all its children at once. */
  readonly endSignal: NodeJS.Signals;
  /** Resolves to true once it takes requests; errors count as "not yet". */
  readonly isReady: () => Promise<boolean>;
  /** Milliseconds from its start until it must be ready. Default 30000: far above what any machine needs. */
  readonly readyTimeoutMs?: number;
}

const READY_TIMEOUT_MS = 30_000;
const END_TIMEOUT_MS = 10_000;
const LOG_LENGTH = 4000;

/**
 * A server that runs as a child in a process group of its own, so that a Ctrl-C reaches it only through us. It can go down and come up again
 * any number of times until it is ended for good; the guard ends it when this process dies.
 */
export class ServerProcess {
  private child: ChildProcess | undefined;
  private log = '';
  private isEnded = false;

  constructor(private readonly program: ServerProgram) {}

  get pid(): number | undefined {
    return this.isRunning ? this.child?.pid : undefined;
  }

  get isRunning(): boolean {
    const { child } = this;
    return child?.pid !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /** Returns when it takes requests; what does not come up is gone. @throws BackendFailedError with the end of its log, or after `end()`. */
  async up(): Promise<void> {
    if (this.isEnded) throw new BackendFailedError(`${this.program.name} was stopped for good.`);
    if (this.isRunning) return;
    const child = this.launch();
    try {
      await this.ready(child);
    } catch (error) {
      if (this.child === child) await this.down();
      throw error;
    }
  }

  /** As `down()`, and it never comes up again: whoever was about to bring it up gets an error, and nothing is left behind. */
  async end(): Promise<void> {
    this.isEnded = true;
    await this.down();
  }

  /** Returns when it is gone. A frozen process is thawed, for only SIGKILL reaches a stopped one; what does not end is killed after 10 s. */
  async down(signal: NodeJS.Signals = this.program.endSignal): Promise<void> {
    const child = this.child;
    if (child === undefined || !this.isRunning) return;
    const exit = once(child, 'exit');
    child.kill(signal);
    child.kill('SIGCONT');
    const timer = setTimeout(() => child.kill('SIGKILL'), END_TIMEOUT_MS);
    await exit;
    clearTimeout(timer);
  }

  /** SIGSTOP. @throws BackendFailedError when it does not run: a fault that meets nobody would prove nothing. */
  freeze(): void {
    if (!this.isRunning) throw new BackendFailedError(`${this.program.name} is dead and cannot be frozen.`);
    this.child?.kill('SIGSTOP');
  }

  /** SIGCONT, where it runs. */
  thaw(): void {
    if (this.isRunning) this.child?.kill('SIGCONT');
  }

  private async ready(child: ChildProcess): Promise<void> {
    const { isReady, readyTimeoutMs = READY_TIMEOUT_MS } = this.program;
    const deadline = systemClock.monotonic() + readyTimeoutMs;
    const gone = new Promise<boolean>((resolve) => {
      for (const event of ['exit', 'error']) child.once(event, () => resolve(false));
    });
    while (!(await settledWithin(deadline, isReady(), gone))) {
      if (!this.isRunning) throw this.failed(`exited with ${child.exitCode ?? child.signalCode}`);
      if (systemClock.monotonic() >= deadline) throw this.failed(`was not ready after ${readyTimeoutMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    // What answered could be another server on the same port.
    if (!this.isRunning) throw this.failed(`exited with ${child.exitCode ?? child.signalCode}`);
  }

  private launch(): ChildProcess {
    const { file, args, env, cwd, account, endSignal } = this.program;
    this.log = '';
    const child = spawn(file, args, { ...account, env, cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const { pid } = child;
    if (pid !== undefined) guard.keepProcess(pid, endSignal);
    child.on('exit', () => {
      if (pid !== undefined) guard.releaseProcess(pid);
    });
    child.on('error', (error) => (this.log += String(error)));
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (piece: Buffer) => (this.log = (this.log + piece.toString()).slice(-LOG_LENGTH)));
      (stream as unknown as { unref(): void }).unref();
    }
    child.unref();
    this.child = child;
    return child;
  }

  private failed(what: string): BackendFailedError {
    const log = this.log.trim();
    return new BackendFailedError(`${this.program.name} ${what}${log === '' ? '.' : `: ${log}`}`);
  }
}

/** False, too, for what failed, or is still open at the deadline or when the server is gone: one may take a connection and then say nothing. */
async function settledWithin(deadline: number, asked: Promise<boolean>, gone: Promise<boolean>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), Math.max(0, deadline - systemClock.monotonic()));
  });
  const answer = await Promise.race([asked.catch(() => false), late, gone]);
  clearTimeout(timer);
  return answer;
}
