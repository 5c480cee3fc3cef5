import { setTimeout } from 'node:timers/promises';

process.on('SIGTERM', () => {
  console.log('told to stop');
  process.exitCode = 3;
  process.exit();
});
console.log(JSON.stringify({ pid: process.pid, args: process.argv.slice(2), env: process.env, cwd: process.cwd() }));
console.error('also on stderr');
await setTimeout(600_000);
