import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { randomToken } from '@nest-baton/core';
import {
  type ChildWorker,
  FakeQuickwit,
  freePort,
  freshDatabase,
  sharedRedisUrl,
  startProcess,
  waitFor,
} from '@nest-baton/testing';
import pg from 'pg';
import { type Block, blocksOf, compileBlocks, pages, readBlocks, ROOT } from './readme-programs.js';

const BLOCKS = pages().flatMap(readBlocks);
const LONGEST_PROGRAM = 30;

describe('the programs in the READMEs', () => {
  it('compile against the sources, each as a whole', () => {
    expect(BLOCKS.filter(({ language }) => language === 'ts').length).toBeGreaterThan(5);
    expect(compileBlocks(BLOCKS)).toEqual([]);
  });

  it('are marked ts, so that none is left unread', () => {
    const unread = BLOCKS.filter(({ language }) => /^(typescript|tsx|mts|cts|js|javascript|ts .*)$/.test(language));
    expect(unread.filter(({ language }) => language !== 'ts continued').map(place)).toEqual([]);
  });

  it.each(pages().filter((page) => page.startsWith('libs/')))(
    `%s begins with one of at most ${LONGEST_PROGRAM} lines`,
    (page) => {
      const { code } = firstProgram(page);
      expect(code.split('\n').length).toBeLessThanOrEqual(LONGEST_PROGRAM);
    },
  );
});

describe('a program that does not compile', () => {
  const page = 'libs/core/README.md';
  const said = (...lines: string[]) => compileBlocks(blocksOf(page, lines.join('\n')));

  it('is told with the page, the line and the reason', () => {
    expect(said('# Title', '```ts', 'const fine = 1;', 'const wrong: string = fine;', '```')).toEqual([
      `${page}:4 Type 'number' is not assignable to type 'string'.`,
    ]);
    expect(said('```ts', `import { nothing } from '@nest-baton/core';`, '```')).toEqual([
      expect.stringMatching(/README\.md:2 .*has no exported member 'nothing'/),
    ]);
    expect(said('```ts', 'const = 1;', '```')[0]).toContain(`${page}:2 `);
  });

  it('knows what stood above only when it says that it continues', () => {
    const first = ['```ts', 'const port: number = 3000;', '```', ''];
    expect(said(...first, '```ts continued', 'port.toFixed();', '```')).toEqual([]);
    expect(said(...first, '```ts continued', 'port.nothing();', '```')[0]).toContain(`${page}:6 `);
    expect(said(...first, '```ts', 'port.toFixed();', '```')[0]).toContain(`${page}:6 `);
  });
});

/** A README's first program, run as it is printed there, but for the addresses of servers. */
describe('the first program of', () => {
  const folder = mkdtempSync(join(tmpdir(), 'baton-readme-'));
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const children: ChildWorker[] = [];

  afterEach(async () => {
    await Promise.all(children.splice(0).map((child) => child.stop()));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** What a README leaves to its reader: to start the module. */
  const listen = (port: number) => `
    import { NestFactory } from '@nestjs/core';
    const app = await NestFactory.create(AppModule);
    await app.enableShutdownHooks().listen(${port});`;

  /** To a name that never resolves: what is shown is that the event is stored. */
  const SUBSCRIBE = `
    import { WebhookEndpointsService } from '@nest-baton/webhook-outbox';
    await app.get(WebhookEndpointsService).create({ url: 'https://receiver.invalid/hook' });
    console.log('subscribed');`;

  async function run(page: string, changes: Readonly<Record<string, string>>, tail = ''): Promise<ChildWorker> {
    let { code } = firstProgram(page);
    for (const [printed, real] of Object.entries(changes)) {
      if (!code.includes(printed))
        throw new Error(`The first program of ${page} has no ${printed} any more: change this test`);
      code = code.replaceAll(printed, real);
    }
    const entry = join(folder, dirname(page), 'program.ts');
    mkdirSync(dirname(entry), { recursive: true });
    writeFileSync(join(dirname(entry), 'package.json'), '{ "type": "module" }');
    writeFileSync(entry, code + tail);
    const child = await startProcess({ entry, cwd: ROOT });
    children.push(child);
    return child;
  }

  async function post(port: number, path: string, body: object): Promise<unknown> {
    const send = () =>
      fetch(`http://127.0.0.1:${port}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    const response = await waitFor(() => send().catch(() => undefined), { description: 'the program listens' });
    return { status: response.status, text: await response.text() };
  }

  async function end(child: ChildWorker): Promise<void> {
    child.signal('SIGTERM');
    const { signal } = await child.exited;
    expect(signal).toBe('SIGTERM');
  }

  it('ingest tells a broker that a document was stored', async () => {
    const [sink, port] = await Promise.all([FakeQuickwit.start(), freePort()]);
    try {
      const changes = { 'http://quickwit:7280': sink.url, '3000': `${port}` };
      const child = await run('libs/ingest/README.md', changes);
      expect(await post(port, '/logs', { id: 'a', text: 'b' })).toEqual({ status: 201, text: '{"decision":"ack"}' });
      expect(sink.documents('app-logs')).toEqual([{ id: 'a', text: 'b' }]);
      await end(child);
    } finally {
      await sink.stop();
    }
  });

  it('pg-stream writes an answer and streams it', async () => {
    const [database, port] = await Promise.all([freshDatabase(), freePort()]);
    try {
      const child = await run('libs/pg-stream/README.md', { 'postgres://localhost/app': database.url }, listen(port));
      expect(await post(port, '/answers/a', { words: ['two', 'words'] })).toMatchObject({ status: 201 });
      const answer = await (await fetch(`http://127.0.0.1:${port}/answers/a`)).text();
      expect(answer).toContain('two ');
      expect(answer).toContain('words ');
      await end(child);
    } finally {
      await database.drop();
    }
  });

  it('webhook-outbox stores the event with the order', async () => {
    const [database, port] = await Promise.all([freshDatabase(), freePort()]);
    const pool = new pg.Pool({ connectionString: database.url, max: 1 });
    try {
      await pool.query('CREATE TABLE orders (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY)');
      const changes = { 'postgres://localhost/shop': database.url };
      const child = await run('libs/webhook-outbox/README.md', changes, listen(port) + SUBSCRIBE);
      await child.waitForLine(/subscribed/);
      expect(await post(port, '/orders', {})).toMatchObject({ status: 201 });
      const { rows } = await pool.query('SELECT (SELECT count(*) FROM orders) orders, type FROM baton.webhook_events');
      expect(rows).toEqual([{ orders: '1', type: 'order.created' }]);
      await end(child);
    } finally {
      await pool.end();
      await database.drop();
    }
  });

  it('redis-reconcile hands a report to its worker', async () => {
    const changes = { 'redis://localhost': sharedRedisUrl(), "'reports'": `'readme-${randomToken(8)}'` };
    const child = await run('libs/redis-reconcile/README.md', changes);
    await child.waitForLine(/report-17 4 attempt 1 fence \d+/);
    await end(child);
  });
});

function firstProgram(page: string): Block {
  const [block] = readBlocks(page).filter(({ language }) => language === 'ts');
  if (block === undefined) throw new Error(`${page} has no program`);
  return block;
}

function place({ page, line, language }: Block): string {
  return `${page}:${line} ${language}`;
}
