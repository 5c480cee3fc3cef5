/** One way to have webhooks sent. All of them send the same bodies to the same two endpoints, by the same HTTP client, signed the same way. */
export interface QueueSubject {
  readonly name: string;
  /** Stores so many webhooks, half of them for each endpoint, while nobody works. */
  fill(count: number): Promise<void>;
  startWork(): Promise<void>;
  /** Returns when nothing is sent any more. */
  stopWork(): Promise<void>;
  /** `open` are not settled yet, `failed` were tried and not delivered. */
  counts(): Promise<QueueCounts>;
  clear(): Promise<void>;
  stop(): Promise<void>;
}

export interface QueueCounts {
  readonly open: number;
  readonly failed: number;
}

export interface QueueSetup {
  /** Of a database of its own. */
  readonly url: string;
  readonly redisUrl: string;
  readonly endpoints: readonly string[];
}

/** Requests at one time: 32 for each of the two endpoints, our default; the peers get two queues of 32, or 64 in one. */
export const PER_ENDPOINT = 32;

/** Standard Webhooks: 24 to 64 bytes in base64. */
export const SECRET = `whsec_${Buffer.alloc(32, 'bench').toString('base64')}`;

/** What a webhook says: about 300 bytes as a body. */
export const EVENT_DATA = {
  run: '0195f1f4-2c5b-7b1e-9d0a-6b7c8d9e0f10',
  status: 'done',
  note: 'x'.repeat(150),
} as const;

/** As our module writes it. */
export function bodyOf(): string {
  return JSON.stringify({ type: 'run.done', timestamp: new Date().toISOString(), data: EVENT_DATA });
}
