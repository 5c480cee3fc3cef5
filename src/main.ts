import 'reflect-metadata';
import { type AppConfig, readAppConfig } from './app.config.js';
import { createApp } from './create-app.js';
import { unreachableServers } from './preflight.js';
import { describeStartFailure } from './start-failure.js';

async function main(): Promise<void> {
  let config: AppConfig | undefined;
  try {
    config = readAppConfig();
    const unreachable = await unreachableServers(config);
    if (unreachable.length > 0) return stop(unreachable.join('\n'));
    await createApp(config);
  } catch (error) {
    stop(describeStartFailure(error, config));
  }
}

/** Half-started modules may hold connections and timers, so the process is ended and not waited for. */
function stop(message: string): void {
  process.stderr.write(`Baton did not start.\n${message}\n`, () => process.exit(1));
}

void main();
