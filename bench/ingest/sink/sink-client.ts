import { request } from 'undici';
import type { Fault } from './fault.js';

export interface SinkCounts {
  readonly requests: number;
  readonly documents: number;
  readonly bytes: number;
}

/** The counting server as seen from the processes that drive it. */
export class SinkClient {
  constructor(readonly url: string) {}

  /** Forgets everything, and behaves like this from now on. With `keepsIds` it is slower, and knows each document. */
  async reset(fault: Fault = 'none', keepsIds = false): Promise<void> {
    await this.ask(`reset?fault=${fault}&ids=${keepsIds}`);
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
