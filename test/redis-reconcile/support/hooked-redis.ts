import { Redis, type RedisOptions } from 'ioredis';

type Command = Parameters<Redis['sendCommand']>[0];

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
    if (decision instanceof Promise) void decision.then(() => super.sendCommand(command, stream));
    else command.reject(decision);
    return command.promise;
  }
}

/** True for a call of the script with this word in its text: scripts are known by their hash, so the first call sends the text. */
export class ScriptWatch {
  private readonly names = new Map<string, string>();

  constructor(scripts: readonly { readonly name: string; readonly sha: string }[]) {
    for (const { name, sha } of scripts) this.names.set(sha, name);
  }

  nameOf(name: string, args: Command['args']): string | undefined {
    return name === 'evalsha' ? this.names.get(String(args[0])) : undefined;
  }
}
