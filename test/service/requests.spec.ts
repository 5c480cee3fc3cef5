import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '@nest-baton/testing';
import { Client } from 'pg';
import { post, postRun, RunWorld } from './support/run-service.js';

describe('the HTTP face of the service', () => {
  let world: RunWorld;
  let baseUrl: string;
  let inputDir: string;

  beforeAll(async () => {
    world = await RunWorld.create();
    inputDir = await mkdtemp(join(tmpdir(), 'baton-input-'));
    ({ baseUrl } = await world.startHere({ BATON_INPUT_DIR: inputDir }));
    await world.subscribe(baseUrl);
  });

  afterAll(async () => {
    await world.stop();
    await rm(inputDir, { recursive: true });
  });

  async function countRuns(): Promise<number> {
    const client = new Client({ connectionString: world.databaseUrl });
    await client.connect();
    const { rows } = await client.query<{ count: string }>('SELECT count(*) FROM baton.runs');
    await client.end();
    return Number(rows[0]?.count);
  }

  it('accepts a run with 202 and its place, and tells how it stands', async () => {
    const response = await post(`${baseUrl}/runs`, { input: 'one\ntwo' });
    expect(response.status).toBe(202);
    const { id, state } = (await response.json()) as { id: string; state: string };
    expect(state).toBe('accepted');
    expect(response.headers.get('location')).toBe(`/runs/${id}`);
    const view = await world.waitForEnd(baseUrl, id);
    expect(view).toEqual({ id, state: 'done', attempt: 1, worker: expect.any(String), chunks: 2, indexedTo: 2 });
  });

  it('accepts an empty input: a run without chunks that is done', async () => {
    const id = await postRun(baseUrl, '');
    expect(await world.waitForEnd(baseUrl, id)).toMatchObject({ state: 'done', chunks: 0, indexedTo: 0 });
  });

  it('answers the same Idempotency-Key with the same run, and with 409 when the body differs', async () => {
    const headers = { 'idempotency-key': 'order-7' };
    const first = await post(`${baseUrl}/runs`, { input: 'x' }, headers);
    const again = await post(`${baseUrl}/runs`, { input: 'x' }, headers);
    const { id } = (await first.json()) as { id: string };
    expect(again.status).toBe(202);
    expect(await again.json()).toMatchObject({ id });
    const other = await post(`${baseUrl}/runs`, { input: 'y' }, headers);
    expect(other.status).toBe(409);
    expect(await other.json()).toMatchObject({ code: 'IDEMPOTENCY_CONFLICT', status: 409 });
  });

  it('makes one run of ten simultaneous requests with one key', async () => {
    const headers = { 'idempotency-key': 'at-once' };
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => post(`${baseUrl}/runs`, { input: 'x' }, headers)),
    );
    const ids = await Promise.all(answers.map(async (answer) => ((await answer.json()) as { id: string }).id));
    expect(new Set(ids).size).toBe(1);
  });

  it.each<[string, unknown, number, string]>([
    ['no JSON', '{"input": ', 400, 'BODY_UNREADABLE'],
    ['no object', '[]', 400, 'BODY_INVALID'],
    ['neither input nor inputName', {}, 400, 'BODY_INVALID'],
    ['both', { input: 'a', inputName: 'b' }, 400, 'BODY_INVALID'],
    ['an input that is no text', { input: 7 }, 400, 'BODY_INVALID'],
    ['an unknown field', { input: 'a', pace: 1 }, 400, 'BODY_INVALID'],
    ['half a surrogate pair', '{"input":"\\ud800"}', 422, 'INPUT_INVALID'],
    ['a line longer than a chunk', { input: 'x'.repeat(1024 * 1024 + 1) }, 422, 'LINE_TOO_LONG'],
    ['more than 4 MiB', { input: 'x\n'.repeat(2 * 1024 * 1024 + 1) }, 413, 'INPUT_TOO_LARGE'],
    ['a body beyond all bounds', { input: 'x'.repeat(9 * 1024 * 1024) }, 413, 'BODY_TOO_LARGE'],
    ['a name that leaves the folder', { inputName: '../../etc/passwd' }, 422, 'INPUT_NOT_FOUND'],
    ['an absolute name', { inputName: '/etc/passwd' }, 422, 'INPUT_NOT_FOUND'],
    ['a name of nothing', { inputName: 'nothing.txt' }, 422, 'INPUT_NOT_FOUND'],
    ['a name with NUL', { inputName: 'a\0b' }, 422, 'INPUT_NOT_FOUND'],
  ])('refuses %s with a problem and leaves nothing behind', async (_what, body, status, code) => {
    const before = await countRuns();
    const response = await post(`${baseUrl}/runs`, body);
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toContain('application/problem+json');
    expect(await response.json()).toMatchObject({ status, code, detail: expect.any(String) });
    expect(await countRuns()).toBe(before);
  });

  it('refuses a folder, and a link that leads out of the input folder', async () => {
    await mkdir(join(inputDir, 'folder'));
    await symlink('/etc/hostname', join(inputDir, 'link'));
    for (const inputName of ['folder', 'link', '.'])
      expect(await (await post(`${baseUrl}/runs`, { inputName })).json()).toMatchObject({ code: 'INPUT_NOT_FOUND' });
  });

  it('takes a file by name, byte for byte also when it is not UTF-8', async () => {
    await writeFile(join(inputDir, 'raw.bin'), Buffer.from([0xff, 0x0a, 0x0d, 0x0a, 0xc3, 0x28]));
    const response = await post(`${baseUrl}/runs`, { inputName: 'raw.bin' });
    const { id } = (await response.json()) as { id: string };
    expect(await world.waitForEnd(baseUrl, id)).toMatchObject({ state: 'done', chunks: 3 });
    const documents = (world.sink.documents('runs') as { run: string; base64?: string; text?: string }[]).filter(
      ({ run }) => run === id,
    );
    const bytes = documents.map(({ base64, text }) =>
      text === undefined ? Buffer.from(base64 ?? '', 'base64') : Buffer.from(text),
    );
    expect(Buffer.concat(bytes)).toEqual(Buffer.from([0xff, 0x0a, 0x0d, 0x0a, 0xc3, 0x28]));
  });

  it.each(['/runs/00000000-0000-4000-8000-000000000000', '/runs/nothing', '/runs/nothing/stream', '/nowhere'])(
    'answers %s with 404 and a problem',
    async (path) => {
      const response = await fetch(baseUrl + path);
      expect(response.status).toBe(404);
      expect(response.headers.get('content-type')).toContain('application/problem+json');
    },
  );

  it('answers a Last-Event-ID that it never gave with 400', async () => {
    const id = await postRun(baseUrl, 'x\n');
    await world.waitForEnd(baseUrl, id);
    const response = await fetch(`${baseUrl}/runs/${id}/stream`, { headers: { 'last-event-id': 'forged' } });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: 'CURSOR_INVALID' });
  });

  it('streams to a reader who came before any worker', async () => {
    const id = await postRun(baseUrl, 'early\nbird\n');
    const response = await fetch(`${baseUrl}/runs/${id}/stream`);
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const text = await response.text();
    expect(text).toContain('"text":"early\\n"');
    expect(text).toContain('event: end');
  });

  it('indexes events and answers with the verdict of each', async () => {
    const response = await post(`${baseUrl}/events`, [{ id: 'e1' }, { id: 'e2' }]);
    expect(response.status).toBe(200);
    const accepted = { status: 'accepted', maybeDuplicate: false, attribution: 'document' };
    expect(await response.json()).toEqual({ outcomes: [accepted, accepted] });
    const ids = (world.sink.documents('runs') as { id: string }[]).map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining(['e1', 'e2']));
  });

  it.each([{}, [], [1], 'text', Array.from({ length: 1001 }, () => ({}))])(
    'refuses events that are none',
    async (body) => {
      const response = await post(`${baseUrl}/events`, JSON.stringify(body));
      expect(response.status).toBe(400);
    },
  );

  it.each([
    { url: 'https://169.254.169.254/latest' },
    { url: 'ftp://example.com' },
    { url: 'https://user:secret@example.com' },
    { url: 'https://example.com', headers: { 'webhook-id': 'mine' } },
  ])('refuses a webhook endpoint that must not be called: %j', async (body) => {
    const response = await post(`${baseUrl}/webhook-endpoints`, body);
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({ code: 'ENDPOINT_INVALID' });
  });

  it('answers a repeated request with its run also when the file it named is gone', async () => {
    await writeFile(join(inputDir, 'soon-gone.txt'), 'here\n');
    const headers = { 'idempotency-key': 'file-1' };
    const first = (await (await post(`${baseUrl}/runs`, { inputName: 'soon-gone.txt' }, headers)).json()) as {
      id: string;
    };
    await rm(join(inputDir, 'soon-gone.txt'));
    const again = await post(`${baseUrl}/runs`, { inputName: 'soon-gone.txt' }, headers);
    expect(again.status).toBe(202);
    expect(await again.json()).toMatchObject({ id: first.id });
  });

  it('refuses a named pipe at once instead of waiting for its writer', async () => {
    execFileSync('mkfifo', [join(inputDir, 'pipe')]);
    const response = await post(`${baseUrl}/runs`, { inputName: 'pipe' });
    expect(await response.json()).toMatchObject({ status: 422, code: 'INPUT_NOT_FOUND' });
  });

  it('tells its health', async () => {
    expect((await fetch(`${baseUrl}/health/live`)).status).toBe(200);
    const ready = await fetch(`${baseUrl}/health/ready`);
    expect(ready.status).toBe(200);
    const { details } = (await ready.json()) as { details: object };
    expect(details).toMatchObject({
      database: { status: 'up' },
      'pg-listen': expect.anything(),
      redis: expect.anything(),
      'webhook-outbox': expect.objectContaining({ lagMs: expect.any(Number) }),
      ingest: { status: 'up' },
    });
  });

  it('is ready whatever receivers of webhooks do', async () => {
    world.receiver.answer({ status: 500 });
    const before = world.receiver.requests.length;
    await world.waitForEnd(baseUrl, await postRun(baseUrl, 'x'));
    await waitFor(() => world.receiver.requests.length > before, { description: 'the receiver has refused a webhook' });
    const ready = await fetch(`${baseUrl}/health/ready`);
    world.receiver.answer(undefined);
    expect(ready.status).toBe(200);
    expect(await ready.json()).not.toMatchObject({ details: { 'webhook-outbox': { status: 'down' } } });
  });

  it('is not ready while the search engine does not want its documents, and ready with the first that it takes', async () => {
    world.sink.fail({ kind: 'status', status: 401 });
    expect((await post(`${baseUrl}/events`, [{ id: 'denied' }])).status).toBe(207);
    const denied = await fetch(`${baseUrl}/health/ready`);
    world.sink.clearFaults();
    expect(denied.status).toBe(503);
    expect(await denied.json()).toMatchObject({ details: { ingest: { status: 'down', reason: 'denied' } } });
    expect((await post(`${baseUrl}/events`, [{ id: 'taken' }])).status).toBe(200);
    expect((await fetch(`${baseUrl}/health/ready`)).status).toBe(200);
  });

  it('asks for the token where one is set, but not for health', async () => {
    const guarded = await world.startHere({ BATON_API_TOKEN: 'swordfish', BATON_ROLE: 'api' });
    expect((await post(`${guarded.baseUrl}/runs`, { input: 'x' })).status).toBe(401);
    expect((await fetch(`${guarded.baseUrl}/runs/x`, { headers: { authorization: 'Bearer wrong' } })).status).toBe(401);
    expect((await fetch(`${guarded.baseUrl}/runs/x`, { headers: { authorization: 'Bearer swordfish' } })).status).toBe(
      404,
    );
    expect((await fetch(`${guarded.baseUrl}/health/live`)).status).toBe(200);
  });
});
