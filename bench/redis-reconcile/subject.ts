import { type Parameters, RemoteSubject } from '../harness/index.js';

const PROGRAM = new URL('./subjects/program.ts', import.meta.url);

/** One of the subjects of this benchmark, in a process of its own. */
export function startSubject(name: string, subject: string, setup: Parameters): Promise<RemoteSubject> {
  return RemoteSubject.start({ name, program: PROGRAM, subject, setup });
}
