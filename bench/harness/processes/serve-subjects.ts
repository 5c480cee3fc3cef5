import type { Sample } from '../measuring/pairs.js';
import type { Answer, Command, Parameters } from './subject-messages.js';

/** One side of a comparison, inside its own process. */
export interface ServedSubject {
  run(parameters: Parameters): Promise<Sample>;
  stop(): Promise<void>;
}

export type SubjectStarter = (setup: Parameters) => Promise<ServedSubject>;

/**
 * The whole program of a process that holds one subject: started by `RemoteSubject`, it does what it is told until it is stopped, and never
 * outlives who started it. Each sample also says `seconds` and `cpuMs`, the processor time of all its threads.
 */
export function serveSubjects(starters: Readonly<Record<string, SubjectStarter>>): void {
  let subject: ServedSubject | undefined;
  const obey = async (command: Command): Promise<Sample> => {
    switch (command.kind) {
      case 'start': {
        const start = starters[command.subject];
        if (start === undefined) throw new Error(`There is no subject '${command.subject}' here.`);
        subject = await start(command.setup);
        return {};
      }
      case 'run':
        if (subject === undefined) throw new Error('The subject has not been started.');
        return measured(subject, command.parameters);
      case 'stop':
        await subject?.stop();
        subject = undefined;
        return {};
    }
  };
  process.on('message', (command) => void obey(command as Command).then(answerDone, answerFailed));
  process.on('disconnect', () => process.exit());
}

async function measured(subject: ServedSubject, parameters: Parameters): Promise<Sample> {
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  const sample = await subject.run(parameters);
  const seconds = (performance.now() - startedAt) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  return { seconds, cpuMs: (user + system) / 1000, ...sample };
}

function answerDone(sample: Sample): void {
  answer({ kind: 'done', sample });
}

function answerFailed(error: unknown): void {
  const isError = typeof error === 'object' && error !== null && 'stack' in error;
  answer({ kind: 'failed', message: isError ? String(error.stack) : String(error) });
}

function answer(message: Answer): void {
  process.send?.(message);
}
