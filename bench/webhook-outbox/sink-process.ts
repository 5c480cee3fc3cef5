import { RemoteSubject, type Sample } from '../harness/index.js';
import type { SinkAction } from './programs/sink.js';

const PROGRAM = new URL('./programs/sink.ts', import.meta.url);

/** The receiver of all webhooks, in a process of its own; the same one for every system. */
export class SinkProcess {
  private constructor(
    private readonly remote: RemoteSubject,
    /** Paths that begin with `/hang` are never answered, those with `/endless` without an end; all others with 204, `/closing` on a connection of its own. */
    readonly origin: string,
  ) {}

  static async start(tls?: { readonly key: string; readonly cert: string }): Promise<SinkProcess> {
    const subject = tls === undefined ? 'http' : 'https';
    const remote = await RemoteSubject.start({
      name: 'sink',
      program: PROGRAM,
      subject,
      ...(tls === undefined ? {} : { setup: tls }),
    });
    const { port } = await remote.run({ action: 'port' });
    return new SinkProcess(remote, `${subject}://127.0.0.1:${port}`);
  }

  run(action: SinkAction): Promise<Sample> {
    return this.remote.run({ ...action });
  }

  stop(): Promise<void> {
    return this.remote.stop();
  }
}
