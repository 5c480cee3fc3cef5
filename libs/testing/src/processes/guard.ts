import { type ChildProcess, spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { readTestingEnvironment } from '../environment.js';
import { guardProgram } from './guard-program.js';

type Kind = 'pid' | 'folder';

/**
 * Removes what this process started when it can no longer do so itself.
 *
 * - A small detached child reads what is kept from a pipe. When the pipe ends, for whatever reason (SIGKILL, Ctrl-C, a crash, a forgotten
 *   `stop()`), it kills the processes and then removes the folders.
 * - It runs only while something is kept, and does not keep this process alive.
 * - Between the start of a process and `keep()` lies no `await`; a SIGKILL in those microseconds is the one gap.
 */
class Guard {
  private readonly kept = new Map<string, string>();
  private child: ChildProcess | undefined;

  /** @param signal what ends the process best; SIGKILL follows after 5 s. */
  keepProcess(pid: number, signal: NodeJS.Signals): void {
    this.keep('pid', pid, signal);
  }

  keepFolder(folder: string): void {
    this.keep('folder', folder, '');
  }

  releaseProcess(pid: number): void {
    this.release('pid', pid);
  }

  releaseFolder(folder: string): void {
    this.release('folder', folder);
  }

  private keep(kind: Kind, what: number | string, how: string): void {
    const line = JSON.stringify([true, kind, what, how]);
    this.kept.set(`${kind} ${what}`, line);
    if (this.child === undefined) this.start();
    else this.tell(line);
  }

  private release(kind: Kind, what: number | string): void {
    if (!this.kept.delete(`${kind} ${what}`)) return;
    this.tell(JSON.stringify([false, kind, what]));
    if (this.kept.size > 0) return;
    this.child?.stdin?.end();
    this.child = undefined;
  }

  private start(): void {
    const source = `(${guardProgram.toString()})(process, require('node:fs'))`;
    const child = spawn(process.execPath, ['-e', source], {
      detached: true,
      cwd: tmpdir(),
      env: { PATH: readTestingEnvironment().path },
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    child.unref();
    // Every handle of the child keeps a process alive unless told otherwise; a stream of a child is a socket that can be told.
    (child.stdin as unknown as { unref(): void }).unref();
    child.stdin.on('error', () => undefined);
    child.on('error', () => undefined);
    child.on('exit', () => {
      if (this.child === child) this.child = undefined;
    });
    this.child = child;
    for (const line of this.kept.values()) this.tell(line);
  }

  private tell(line: string): void {
    this.child?.stdin?.write(`${line}\n`);
  }
}

export const guard = new Guard();
