import { createServer } from 'node:net';

// One byte in, one byte out, in a process of its own: what a round trip costs on this machine.
const server = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  socket.pipe(socket);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
