import type { Parameters, Sample } from '../../harness/index.js';
import { CountedWork } from './counted-work.js';

const TIMEOUT_MS = 120_000;

/** What differs between the sides of the comparison. */
export interface Consumer {
  /** Puts hand-offs there. */
  add(run: number, count: number): Promise<void>;
  /** Resolves when so many have been acknowledged since `work` was opened; called before that. */
  finished(count: number): Promise<unknown>;
  /** Throws unless nothing is left anywhere. */
  check(): Promise<void>;
}

/** Runs one backlog through a consumer: `perSecond` from the opening of the gate to the last acknowledgement. */
export class TimedBacklog {
  private runs = 0;

  constructor(
    private readonly work: CountedWork,
    private readonly consumer: Consumer,
  ) {}

  readonly run = async ({ count }: Parameters): Promise<Sample> => {
    const { work, consumer } = this;
    const wanted = Number(count);
    work.close();
    await consumer.add(this.runs++, wanted);
    const finished = consumer.finished(wanted);
    const cpuBefore = process.cpuUsage();
    const startedAt = performance.now();
    work.open();
    await withinTime(finished, wanted);
    const seconds = (performance.now() - startedAt) / 1000;
    const { user, system } = process.cpuUsage(cpuBefore);
    work.check(wanted);
    await consumer.check();
    return { perSecond: wanted / seconds, cpuUs: (user + system) / wanted };
  };
}

async function withinTime(finished: Promise<unknown>, count: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`${count} hand-offs were not done within ${TIMEOUT_MS / 1000} s.`)),
      TIMEOUT_MS,
    );
  });
  try {
    await Promise.race([finished, expired]);
  } finally {
    clearTimeout(timer);
  }
}
