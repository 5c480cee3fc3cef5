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
}

const READY_TIMEOUT_MS = 30_000;
const END_TIMEOUT_MS = 10_000;
const LOG_LENGTH = 4000;

/**
 * A server that runs as a child in a process group of its own, so that a Ctrl-C reaches it only through us. It can go down and come up again
 * any number of times; the guard ends it when this process dies.
 */
export class ServerProcess {
  private child: ChildProcess | undefined;
  private log = '';

  constructor(private readonly program: ServerProgram) {}

  get pid(): number | undefined {
    return this.isRunning ? this.child?.pid : undefined;
  }

  get isRunning(): boolean {
    const { child } = this;
    return child?.pid !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /** Returns when it takes requests. @throws BackendFailedError with the end of its log. */
  async up(): Promise<void> {
    if (this.isRunning) return;
    const child = this.launch();
    const deadline = systemClock.monotonic() + READY_TIMEOUT_MS;
    while (!(await this.program.isReady().catch(() => false))) {
      if (!this.isRunning) throw this.failed(`exited with ${child.exitCode ?? child.signalCode}`);
      if (systemClock.monotonic() > deadline) throw this.failed(`was not ready after ${READY_TIMEOUT_MS} ms`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    // What answered could be another server on the same port.
    if (!this.isRunning) throw this.failed(`exited with ${child.exitCode ?? child.signalCode}`);
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

  signal(signal: NodeJS.Signals): void {
    if (this.isRunning) this.child?.kill(signal);
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
