/** Prints as JSON where `startRedis()` found a server in this environment, or with which error it gave up. */
import { startRedis } from '@nest-baton/testing';

try {
  const server = await startRedis();
  console.log(JSON.stringify({ origin: server.origin }));
  await server.stop();
} catch (error) {
  const { code, message } = error as { code?: string; message: string };
  console.log(JSON.stringify({ code, message }));
}
