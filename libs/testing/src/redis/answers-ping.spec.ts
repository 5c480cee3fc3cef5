import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { answersPing } from './answers-ping.js';

describe('answersPing', () => {
  let server: Server;

  async function serve(answer: (socket: Socket) => void): Promise<number> {
    server = createServer((socket) => answer(socket.on('error', () => undefined)));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  afterEach(() => server.close());

  it.each<[string, (socket: Socket) => void]>([
    ['hangs up without a word', (socket) => socket.end()],
    ['hangs up when asked', (socket) => socket.once('data', () => socket.end())],
    ['resets', (socket) => socket.resetAndDestroy()],
  ])(
    'rejects when the server %s',
    async (_what, answer) => {
      await expect(answersPing(await serve(answer))).rejects.toBeDefined();
    },
    3_000,
  );

  it('is false for an error, true for a PONG', async () => {
    const said = ['-LOADING Redis is loading the dataset in memory\r\n', '+PONG\r\n'];
    const port = await serve((socket) => socket.once('data', () => socket.write(said.shift() ?? '')));
    expect([await answersPing(port), await answersPing(port)]).toEqual([false, true]);
  });
});
