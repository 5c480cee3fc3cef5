import { Agent, get, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Sample, serveSubjects } from '../../harness/index.js';

/** The parameters of `RemoteSubject.run`. */
export type SseClientsAction =
  | { readonly action: 'connect'; readonly port: number; readonly clients: number }
  /** `{ complete }`: how many clients have got that many chunks, in order, as soon as all have. */
  | { readonly action: 'await'; readonly chunks: number; readonly patienceMs: number };

/** Counts the chunks of one response; throws for one that is not the next. */
class SseClient {
  chunks = 0;
  private rest = '';

  take(text: string): void {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) {
      if (!line.startsWith('data: ')) continue;
      const { index } = JSON.parse(line.slice('data: '.length)) as { index?: number };
      if (index !== this.chunks) throw new Error(`chunk ${index} came where ${this.chunks} was due`);
      this.chunks++;
    }
  }
}

const clients: SseClient[] = [];
const agent = new Agent({ keepAlive: true, maxSockets: Infinity });

serveSubjects({
  clients: () =>
    Promise.resolve({
      run: async (parameters): Promise<Sample> => {
        const action = parameters as unknown as SseClientsAction;
        if (action.action === 'connect') {
          for (let nth = 0; nth < action.clients; nth += 50)
            await Promise.all(Array.from({ length: Math.min(50, action.clients - nth) }, () => connect(action.port)));
          return { clients: clients.length };
        }
        const begun = performance.now();
        const isComplete = (client: SseClient) => client.chunks >= action.chunks;
        while (!clients.every(isComplete) && performance.now() - begun < action.patienceMs) await sleep(5);
        return { complete: clients.filter(isComplete).length };
      },
      stop: () => {
        agent.destroy();
        return Promise.resolve();
      },
    }),
});

async function connect(port: number): Promise<void> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get({ port, host: '127.0.0.1', path: '/watch', agent }, resolve).on('error', reject);
  });
  if (response.statusCode !== 200) throw new Error(`the server answered ${response.statusCode}`);
  const client = new SseClient();
  response.setEncoding('utf8').on('data', (text: string) => client.take(text));
  clients.push(client);
}
