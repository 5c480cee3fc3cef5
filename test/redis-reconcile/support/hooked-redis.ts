import { Redis, type RedisOptions } from 'ioredis';

/** `undefined`: send it. A promise: send it when it resolves. An error: never send it, reject it with this. */
export type CommandHook = (name: string, args: readonly unknown[], redis: Redis) => Promise<void> | Error | undefined;

/**
 * A client whose commands, and those of all its duplicates, go through a hook: to hold one exactly there, or to let a process "die" between two.
 * Given as `connection: { instance }`.
 */
export class HookedRedis extends Redis {
  constructor(
    readonly url: string,
    readonly hook: CommandHook,
    options: RedisOptions = {},
  ) {
    super(url, { lazyConnect: true, disconnectTimeout: 100, ...options });
    this.on('error', () => undefined);
  }

  override duplicate(override: Partial<RedisOptions> = {}): Redis {
    return new HookedRedis(this.url, this.hook, override);
  }

  override sendCommand(...[command, stream]: Parameters<Redis['sendCommand']>): unknown {
    const decision = this.hook(command.name.toLowerCase(), command.args, this);
    if (decision === undefined) return super.sendCommand(command, stream);
    if (decision instanceof Promise)
      // Its failure reaches the caller through the command's own promise.
      decision.then(() => super.sendCommand(command, stream)).catch(() => undefined);
    else command.reject(decision);
    return command.promise;
  }
}
