import { jest } from '@jest/globals';
import { waitFor } from '@nest-baton/testing';
import { RunReader } from '../../demo/run-reader.js';
import { RunEndings } from '../../src/runs/working/run-endings.js';
import { RunIndexer } from '../../src/runs/working/run-indexer.js';
import { postRun, RunWorld } from './support/run-service.js';

const ONE_TRY = { BATON_REDIS_RECONCILE_RECOVERY_MAX_RETRIES: '1' };

describe('a run whose hand-off is given up', () => {
  let world: RunWorld;

  beforeEach(async () => {
    world = await RunWorld.create();
  });

  afterEach(async () => {
    jest.restoreAllMocks();
    await world.stop();
  });

  it('ends as failed, with its stream and its event', async () => {
    jest.spyOn(RunIndexer.prototype, 'follow').mockRejectedValue(new Error('the index refuses everything'));
    const { baseUrl } = await world.startHere(ONE_TRY);
    await world.subscribe(baseUrl);
    const id = await postRun(baseUrl, 'a\nb\n');
    const reader = new RunReader(`${baseUrl}/runs/${id}/stream`, Infinity);
    await reader.readToEnd(AbortSignal.timeout(20_000));
    expect(reader.status).toBe('error');
    const view = await world.waitForEnd(baseUrl, id);
    expect(view).toMatchObject({ state: 'failed', attempt: 2 });
    expect(view.failure).toContain('max_retries_exceeded');
    const event = await world.expectOneWebhook('run.failed', id);
    expect(event).toMatchObject({ type: 'run.failed', data: { id, failure: view.failure } });
  });

  it('is ended later when the ending itself failed at first, in one transaction', async () => {
    jest.spyOn(RunIndexer.prototype, 'follow').mockRejectedValue(new Error('the index refuses everything'));
    const fail = jest.spyOn(RunEndings.prototype, 'fail').mockRejectedValueOnce(new Error('the database is away'));
    const { baseUrl } = await world.startHere(ONE_TRY);
    await world.subscribe(baseUrl);
    const id = await postRun(baseUrl, 'a\n');
    expect(await world.waitForEnd(baseUrl, id)).toMatchObject({ state: 'failed' });
    await waitFor(() => fail.mock.calls.length >= 2, { description: 'the ending was tried again' });
    await world.expectOneWebhook('run.failed', id);
  });
});
