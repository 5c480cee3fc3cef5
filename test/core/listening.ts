import {
  type ListenerState,
  randomToken,
  SelfHealingListener,
  type SelfHealingListenerOptions,
} from '@nest-baton/core';
import pg from 'pg';

/** A listener on a real server, what it was told, and what the server says about it. */
export class Listening {
  readonly applicationName = `listener-${randomToken(8)}`;
  readonly payloads: string[] = [];
  readonly lost: unknown[] = [];
  listenings = 0;
  readonly listener: SelfHealingListener;

  constructor(connectionString: string, options: Partial<SelfHealingListenerOptions> = {}) {
    this.listener = new SelfHealingListener({
      createClient: () => new pg.Client({ connectionString, application_name: this.applicationName, keepAlive: true }),
      channel: 'Runs',
      onNotification: (payload) => void this.payloads.push(payload),
      onListening: () => void this.listenings++,
      onLost: (error) => void this.lost.push(error),
      ...options,
    });
  }

  get state(): ListenerState {
    return this.listener.state;
  }

  /** Server processes of this listener. */
  async backends(session: pg.Client): Promise<number[]> {
    const { rows } = await session.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE application_name = $1`,
      [this.applicationName],
    );
    return rows.map(({ pid }) => pid);
  }

  async terminate(session: pg.Client): Promise<void> {
    for (const pid of await this.backends(session)) await session.query(`SELECT pg_terminate_backend($1)`, [pid]);
  }
}

export async function connected(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString });
  client.on('error', () => undefined); // the server goes away under it in some tests
  await client.connect();
  return client;
}
