import type { PgStreamOptions } from '@nest-baton/pg-stream';
import { RemoteSubject, type Sample, type Subject } from '../harness/index.js';
import type { Action } from './programs/actions.js';
import { DEFAULTS, FLOOR, OURS, RECOMMENDED } from './targets.js';

const SUBJECTS = { [OURS]: 'ours', [FLOOR]: 'floor', [RECOMMENDED]: 'recommended', [DEFAULTS]: 'defaults' } as const;
const PROGRAM = new URL('./programs/streams.ts', import.meta.url);

/** One subject in a process of its own. */
export class StreamProcess {
  private constructor(
    readonly name: keyof typeof SUBJECTS,
    private readonly remote: RemoteSubject,
  ) {}

  /** The first process on a database creates the tables there, alone. */
  static async start(name: keyof typeof SUBJECTS, url: string, options?: PgStreamOptions): Promise<StreamProcess> {
    const setup = { url, ...(options === undefined ? {} : { options }) };
    return new StreamProcess(
      name,
      await RemoteSubject.start({ name, program: PROGRAM, subject: SUBJECTS[name], setup }),
    );
  }

  run(action: Action): Promise<Sample> {
    return this.remote.run({ ...action });
  }

  /** One side of an interleaved comparison. */
  doing(action: Action): Subject {
    return { name: this.name, run: () => this.run(action) };
  }

  stop(): Promise<void> {
    return this.remote.stop();
  }
}
