import { strict as assert } from 'node:assert';
import { OptionsInvalidError, parseDuration, PollLoop, runMigrations } from '@nest-baton/core';

async function main(): Promise<void> {
  let passes = 0;
  const loop = new PollLoop({
    name: 'baton:core:default:consumer',
    intervalMs: 60_000,
    pass: () => {
      passes += 1;
      return Promise.resolve();
    },
    onError: (error: unknown) => assert.fail(String(error)),
  });
  loop.start();
  await loop.runOnce();
  await loop.stop();
  assert.ok(passes > 0);
  assert.equal(parseDuration('30s'), 30_000);
  assert.equal(new OptionsInvalidError('consumer', ['a']).code, 'OPTIONS_INVALID');
  assert.equal(typeof runMigrations, 'function');
}

void main().then(() => console.log('done'));
