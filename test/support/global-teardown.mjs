import { once } from 'node:events';

export default async function tearDown() {
  const child = globalThis.sharedBackends;
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.stdin.end();
  await once(child, 'exit');
}
