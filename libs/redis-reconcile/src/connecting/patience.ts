import type { Redis } from 'ioredis';

/**
 * Calls back after `ms`, but not before the event loop has looked at its sockets once more: a process that stood still (stopped, or in a long
 * collection) finds its timers due and the answers unread, and must not take those for late. Returns what cancels it.
 */
export function whenOverdue(ms: number, act: () => void): () => void {
  let reading: NodeJS.Immediate | undefined;
  // Between a timer and an immediate that it sets, the loop looks at its sockets.
  const timer = setTimeout(() => (reading = setImmediate(act)), ms);
  return () => {
    clearTimeout(timer);
    clearImmediate(reading);
  };
}

/**
 * What a client does with `commandTimeout` and `socketTimeout`, in that manner; its own must be left out. A command without an answer fails after
 * `ms`. A server that keeps the connection open and says nothing while it is asked loses it after three times as long, so that the next command
 * tries a new one.
 */
export function withPatience<Client extends Redis>(client: Client, ms: number): Client {
  const silenceMs = 3 * ms;
  const send = client.sendCommand.bind(client);
  let unanswered = 0;
  let listening: NodeJS.ReadableStream | undefined;
  let stopListening: () => void = () => undefined;
  const listen = (): void => {
    const { stream } = client;
    if (stream === undefined || stream === listening || stream.destroyed) return;
    listening = stream;
    const cancel = whenOverdue(silenceMs, () => stream.destroy(new Error(`no word within ${silenceMs} ms`)));
    const end = (): void => {
      cancel();
      stream.off('data', end).off('close', end);
      if (listening === stream) listening = undefined;
    };
    stopListening = end;
    stream.on('data', end).on('close', end);
  };
  client.sendCommand = (command, stream) => {
    const sent = send(command, stream);
    unanswered++;
    let isOverdue = false;
    const cancel = whenOverdue(ms, () => {
      isOverdue = true;
      if (!command.isResolved) command.reject(new Error('Command timed out'));
    });
    const settle = (): void => {
      cancel();
      if (--unanswered > 0) listen();
      else if (!isOverdue) stopListening();
    };
    command.promise.then(settle, settle);
    listen();
    return sent;
  };
  return client;
}
