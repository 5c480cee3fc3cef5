import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { dirname, extname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { describeError } from '@nest-baton/core';
import { readTestingEnvironment } from '../environment.js';
import { ProcessEndedError, WaitTimeoutError } from '../testing.errors.js';
import { guard } from './guard.js';

export interface ProcessOptions {
  /**
   * The program: a `.ts` file runs from sources (this suite's packages too), a `.js` or `.mjs` file as plain Node runs it. A relative path
   * counts from `cwd`.
   */
  readonly entry: string;
  readonly args?: readonly string[];
  /** All that it gets besides `PATH`, `HOME` and `TMPDIR`: nothing that configures this process configures the child. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default: the working directory of this process. */
  readonly cwd?: string;
}

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Older lines are dropped above this many, so that a child that talks for hours costs nothing. */
const MAX_LINES = 50_000;
const LINES_IN_ERRORS = 20;
/** Pipes can stay open after the exit, in the hands of a grandchild. */
const DRAIN_TIMEOUT_MS = 1000;

/**
 * A program of ours in a process of its own, to be killed in the middle of its work.
 *
 * - `lines` holds what it printed on both streams, in order of arrival.
 * - It lives in a process group of its own: a Ctrl-C in the terminal reaches it only through us.
 * - It never outlives this process: the guard kills it, also after a SIGKILL.
 */
export class ChildWorker {
  private readonly ended: Promise<ProcessExit>;
  private readonly printed: string[] = [];
  private readonly listeners = new Set<(line: string) => void>();
  private isGone = false;

  constructor(private readonly child: ChildProcess) {
    this.ended = this.watch();
  }

  /** Resolves when it is gone and its output has been read; never rejects. Only who asks for this is kept alive by the child. */
  get exited(): Promise<ProcessExit> {
    if (!this.isGone) this.child.ref();
    return this.ended;
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  get hasExited(): boolean {
    return this.isGone;
  }

  get lines(): readonly string[] {
    return this.printed;
  }

  /**
   * The first line that matches, of those already printed or of those to come.
   *
   * @param timeoutMs Default 30000: a process that starts beside others on busy cores takes its time.
   * @throws WaitTimeoutError, or ProcessEndedError as soon as no such line can come any more; both end with the last lines.
   */
  async waitForLine(pattern: RegExp, timeoutMs = 30_000): Promise<string> {
    const found = this.printed.find((line) => matches(pattern, line));
    if (found !== undefined) return found;
    let listener: ((line: string) => void) | undefined;
    let timer: NodeJS.Timeout | undefined;
    const matched = new Promise<string>((resolve) => {
      listener = (line) => {
        if (matches(pattern, line)) resolve(line);
      };
      this.listeners.add(listener);
    });
    const expired = new Promise<Error>((resolve) => {
      timer = setTimeout(() => resolve(this.timedOut(pattern, timeoutMs)), timeoutMs);
    });
    const ended = this.ended.then((exit) => this.endedEarly(pattern, exit));
    try {
      const outcome = await Promise.race([matched, expired, ended]);
      if (typeof outcome === 'string') return outcome;
      throw outcome;
    } finally {
      clearTimeout(timer);
      if (listener !== undefined) this.listeners.delete(listener);
    }
  }

  /** Sends any signal, and says whether it was still there to get it. SIGSTOP freezes it, SIGCONT lets it go on. */
  signal(signal: NodeJS.Signals): boolean {
    return !this.isGone && this.child.kill(signal);
  }

  /** Kills it (SIGKILL) and returns when it is gone; may be called twice. For an orderly end: `signal('SIGTERM')`, then `exited`. */
  async stop(): Promise<void> {
    this.signal('SIGKILL');
    await this.exited;
  }

  private async watch(): Promise<ProcessExit> {
    const { child } = this;
    child.unref();
    for (const input of [child.stdout, child.stderr]) {
      if (input === null) continue;
      createInterface({ input, crlfDelay: Infinity }).on('line', (line) => this.keep(line));
      // A stream of a child is a socket.
      (input as unknown as { unref(): void }).unref();
    }
    const closed = once(child, 'close');
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    guard.releaseProcess(this.pid);
    let timer: NodeJS.Timeout | undefined;
    const given = new Promise<void>((resolve) => (timer = setTimeout(resolve, DRAIN_TIMEOUT_MS)));
    await Promise.race([closed, given]);
    clearTimeout(timer);
    this.isGone = true;
    return { code, signal };
  }

  private keep(line: string): void {
    this.printed.push(line);
    if (this.printed.length > MAX_LINES) this.printed.shift();
    for (const listener of this.listeners) listener(line);
  }

  private timedOut(pattern: RegExp, timeoutMs: number): Error {
    return new WaitTimeoutError(`Waited ${timeoutMs} ms in vain for a line like ${String(pattern)}.${this.tail()}`);
  }

  private endedEarly(pattern: RegExp, { code, signal }: ProcessExit): Error {
    const how = signal === null ? `with code ${code}` : `by ${signal}`;
    return new ProcessEndedError(`The process ended ${how} without a line like ${String(pattern)}.${this.tail()}`);
  }

  private tail(): string {
    const last = this.printed.slice(-LINES_IN_ERRORS);
    return last.length === 0 ? ' It printed nothing.' : ` Its last lines:\n${last.join('\n')}`;
  }
}

/** Starts a program in a child process. @throws ProcessEndedError when it cannot be started at all. */
export async function startProcess(options: ProcessOptions): Promise<ChildWorker> {
  const { args = [], env = {}, cwd = process.cwd() } = options;
  const entry = resolve(cwd, options.entry);
  const isSource = extname(entry) === '.ts';
  const child = spawn(process.execPath, [...(isSource ? loaderFlags(entry) : []), entry, ...args], {
    cwd,
    env: { ...baseEnvironment(), ...(isSource ? compilerEnvironment(entry) : {}), ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (child.pid !== undefined) guard.keepProcess(child.pid, 'SIGKILL');
  try {
    if (child.pid === undefined) await once(child, 'spawn');
  } catch (error) {
    throw new ProcessEndedError(`${entry} could not be started in ${cwd}: ${describeError(error)}`, { cause: error });
  }
  child.on('error', () => undefined);
  return new ChildWorker(child);
}

function baseEnvironment(): Record<string, string> {
  const { path, home, hints } = readTestingEnvironment();
  return { PATH: path, HOME: home, TMPDIR: tmpdir(), ...(hints === 'off' && { TEST_HINTS: hints }) };
}

/** The package's own registration looks for its loader from the working directory; this one takes that beside the entry, wherever the child runs. */
function loaderFlags(entry: string): readonly string[] {
  const found = nearest(entry, join('node_modules', '@swc-node', 'register', 'esm', 'esm.mjs'));
  if (found === undefined)
    throw new ProcessEndedError(
      `${entry} is TypeScript, and @swc-node/register is not installed beside it: install it.`,
    );
  const program = `import { register } from 'node:module'; register(${JSON.stringify(pathToFileURL(found).href)});`;
  return ['--conditions=@nest-baton/source', '--import', `data:text/javascript,${encodeURIComponent(program)}`];
}

/** The compiler reads the decorators' settings from here; without it, it would take those of the working directory. */
function compilerEnvironment(entry: string): Record<string, string> {
  const project = nearest(entry, 'tsconfig.json');
  return project === undefined ? {} : { SWC_NODE_PROJECT: project };
}

function nearest(start: string, name: string): string | undefined {
  for (let folder = dirname(start); ; folder = dirname(folder)) {
    if (existsSync(join(folder, name))) return join(folder, name);
    if (folder === dirname(folder)) return undefined;
  }
}

/** A pattern with the flag `g` or `y` remembers where it stopped; each line is a text of its own. */
function matches(pattern: RegExp, line: string): boolean {
  pattern.lastIndex = 0;
  return pattern.test(line);
}
