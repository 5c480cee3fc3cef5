import { once } from 'node:events';
import { connect } from 'node:net';

/** By a plain socket: no driver with its own ideas about reconnecting. */
export async function answersPing(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  socket.setTimeout(1000, () => socket.destroy(new Error('no answer')));
  const over = new AbortController();
  // A server that hangs up without a word is no error to a socket.
  socket.once('close', () => over.abort());
  try {
    await once(socket, 'connect', over);
    socket.write('PING\r\n');
    const [answer] = (await once(socket, 'data', over)) as [Buffer];
    return answer.toString().startsWith('+PONG');
  } finally {
    socket.destroy();
  }
}
