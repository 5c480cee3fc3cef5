import { request } from 'undici';
import type { Fault } from './fault.js';
import type { Keeps } from './storage.js';

export interface SinkCounts {
  readonly requests: number;
  readonly documents: number;
  readonly bytes: number;
  /** Refused one by one, in answers to bulk requests. */
  readonly busyItems: number;
  /** Processor time of the sink's process since it began, in microseconds. */
  readonly cpuUs: number;
}

/** The counting server as seen from the processes that drive it. */
export class SinkClient {
  constructor(readonly url: string) {}

  /** Forgets everything, and behaves like this from now on. With `ids` it is slower. */
  async reset(fault: Fault = 'none', keeps: Keeps = 'counts'): Promise<void> {
    await this.ask(`reset?fault=${fault}&keeps=${keeps}`);
  }

  /** Ends the fault; what was stalled is answered. */
  async relent(): Promise<void> {
    await this.ask('relent');
  }

  async counts(): Promise<SinkCounts> {
    return JSON.parse((await this.ask('counts')).toString()) as SinkCounts;
  }

  /** How often each of the first `count` ids was stored. */
  timesStored(count: number): Promise<Buffer> {
    return this.ask(`times?count=${count}`);
  }

  private async ask(question: string): Promise<Buffer> {
    const { statusCode, body } = await request(`${this.url}/-/${question}`);
    const answer = Buffer.from(await body.arrayBuffer());
    if (statusCode !== 200) throw new Error(`The sink answered ${statusCode} to ${question}.`);
    return answer;
  }
}
