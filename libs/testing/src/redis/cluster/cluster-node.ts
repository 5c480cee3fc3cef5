import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { ServerProcess } from '../../processes/server-process.js';
import { BackendFailedError } from '../../testing.errors.js';
import { answersPing } from '../answers-ping.js';
import type { RedisBinary } from '../redis-binary.js';
import { type ClusterView, parseClusterNodes } from './cluster-view.js';

/** One server of the cluster, the same over kills and restarts. */
export interface RedisClusterNode {
  /** As in CLUSTER NODES. */
  readonly id: string;
  readonly host: string;
  readonly port: number;
  readonly url: string;
  /** As the cluster last said to this object: at the start, and at the end of `settled()`, `failover()` and `moveSlots()`. */
  readonly role: 'master' | 'replica';
  /** What was done to its process. */
  readonly state: 'running' | 'frozen' | 'dead';
  /** Of its process; `undefined` while it is dead. */
  readonly pid: number | undefined;
}

const CONNECT_TIMEOUT_MS = 2000;
const COMMAND_TIMEOUT_MS = 10_000;
const HOST = '127.0.0.1';

/** The node's process, and short connections of our own to it: nothing stays open that would keep a run alive. */
export class LocalClusterNode implements RedisClusterNode {
  readonly host = HOST;
  readonly url: string;
  id = '';
  role: 'master' | 'replica' = 'master';
  // Drivers copy the fields of a node that is handed to them: these are none of theirs.
  readonly #server: ServerProcess;
  readonly #folder: string;
  #isFrozen = false;

  constructor(
    readonly port: number,
    binary: RedisBinary,
    folder: string,
    settings: readonly string[],
  ) {
    this.url = `redis://${HOST}:${port}`;
    this.#folder = join(folder, `${port}`);
    this.#server = new ServerProcess({
      name: `redis-server on port ${port}`,
      file: binary.file,
      args: ['--port', `${port}`, '--bind', HOST, '--dir', this.#folder, '--daemonize', 'no', ...settings],
      env: binary.env,
      cwd: folder,
      account: undefined,
      endSignal: 'SIGKILL',
      isReady: () => answersPing(port),
    });
  }

  get name(): string {
    return `${this.host}:${this.port}`;
  }

  get state(): 'running' | 'frozen' | 'dead' {
    if (!this.#server.isRunning) return 'dead';
    return this.#isFrozen ? 'frozen' : 'running';
  }

  get pid(): number | undefined {
    return this.#server.pid;
  }

  /** Without a pause before its start: `stop()` of the cluster comes before all of it or after. */
  async up(): Promise<void> {
    mkdirSync(this.#folder, { recursive: true });
    this.#isFrozen = false;
    await this.#server.up();
  }

  /** SIGKILL; returns when it is gone. */
  async down(): Promise<void> {
    await this.#server.down();
    this.#isFrozen = false;
  }

  /** SIGKILL, for good. */
  async end(): Promise<void> {
    await this.#server.end();
    this.#isFrozen = false;
  }

  freeze(): void {
    this.#server.freeze();
    this.#isFrozen = true;
  }

  thaw(): void {
    this.#server.thaw();
    this.#isFrozen = false;
  }

  /** Runs `use` with a connection that neither reconnects nor repeats anything. @throws BackendFailedError at once when the node is down. */
  async ask<T>(use: (connection: Redis) => Promise<T>): Promise<T> {
    if (this.state !== 'running') throw new BackendFailedError(`${this.name} is ${this.state} and cannot be asked.`);
    const connection = new Redis({
      host: this.host,
      port: this.port,
      lazyConnect: true,
      retryStrategy: () => null,
      maxRetriesPerRequest: 0,
      enableReadyCheck: false,
      disableClientInfo: true,
      connectTimeout: CONNECT_TIMEOUT_MS,
      commandTimeout: COMMAND_TIMEOUT_MS,
      disconnectTimeout: 100,
    });
    connection.on('error', () => undefined);
    try {
      await connection.connect();
      return await use(connection);
    } finally {
      connection.disconnect();
    }
  }

  command(...args: readonly (string | number | Buffer)[]): Promise<unknown> {
    const [name = '', ...rest] = args;
    return this.ask((connection) => connection.call(String(name), ...rest));
  }

  view(): Promise<ClusterView> {
    return this.ask(async (connection) => {
      const [nodes, cluster, replication] = await Promise.all([
        connection.cluster('NODES') as Promise<string>,
        connection.cluster('INFO'),
        connection.info('replication'),
      ]);
      return {
        id: this.id,
        name: this.name,
        isOk: cluster.includes('cluster_state:ok'),
        isReplicating: !replication.includes('role:slave') || replication.includes('master_link_status:up'),
        entries: parseClusterNodes(nodes),
      };
    });
  }
}
