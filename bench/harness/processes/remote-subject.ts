import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Sample, Subject } from '../measuring/pairs.js';
import type { Answer, Command, Parameters } from './subject-messages.js';

export interface RemoteSubjectOptions {
  /** How it is called in the report. */
  readonly name: string;
  /** The program that calls `serveSubjects`: `new URL('./subjects.ts', import.meta.url)`. */
  readonly program: URL;
  /** Which of the program's subjects. */
  readonly subject: string;
  /** Given once, at the start. */
  readonly setup?: Parameters;
  /** Given to each run that is not told otherwise. */
  readonly parameters?: Parameters;
  /** More flags of Node: `--expose-gc`. */
  readonly nodeFlags?: readonly string[];
}

/**
 * A subject in a process of its own: no side of a comparison pays for another's garbage, optimised code or sockets, and processor time is its
 * own. It stays up between runs, warm.
 */
export class RemoteSubject implements Subject {
  readonly name: string;

  private constructor(
    private readonly child: ChildProcess,
    private readonly options: RemoteSubjectOptions,
  ) {
    this.name = options.name;
  }

  /** Resolves when the subject is ready to run. */
  static async start(options: RemoteSubjectOptions): Promise<RemoteSubject> {
    const child = fork(fileURLToPath(options.program), [], {
      execArgv: [...process.execArgv, ...(options.nodeFlags ?? [])],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const remote = new RemoteSubject(child, options);
    try {
      await remote.command({ kind: 'start', subject: options.subject, setup: options.setup ?? {} });
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
    return remote;
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  /** @throws Error with the other process' words when the run failed there, or when that process ended. */
  run(parameters: Parameters = {}): Promise<Sample> {
    return this.command({ kind: 'run', parameters: { ...this.options.parameters, ...parameters } });
  }

  /** In order, and by force when it does not end within five seconds. May be called twice. */
  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    const killing = setTimeout(() => this.child.kill('SIGKILL'), 5000);
    await this.command({ kind: 'stop' }).catch(() => undefined);
    if (this.child.connected) this.child.disconnect();
    await exited;
    clearTimeout(killing);
  }

  private command(command: Command): Promise<Sample> {
    const { child, name } = this;
    return new Promise((resolve, reject) => {
      const settle = (): void => void child.off('message', onMessage).off('exit', onExit);
      const onMessage = (message: unknown): void => {
        settle();
        const answer = message as Answer;
        if (answer.kind === 'done') resolve(answer.sample);
        else reject(new Error(`${name}: ${answer.message}`));
      };
      const onExit = (): void => {
        settle();
        reject(new Error(`The process of '${name}' ended in the middle of its work.`));
      };
      child.on('message', onMessage).on('exit', onExit);
      child.send(command, (error) => error !== null && (settle(), reject(error)));
    });
  }
}
