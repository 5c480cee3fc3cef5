import { postRun, RunWorld } from './support/run-service.js';

const INPUT = Array.from({ length: 40 }, (_, i) => `line ${i}\n`).join('');

describe('an owner that stalls longer than its lease and wakes after the takeover', () => {
  let world: RunWorld;

  beforeEach(async () => {
    world = await RunWorld.create();
  });

  afterEach(async () => {
    await world.stop();
  });

  it.each([
    ['before the second append', /PRODUCER_FENCED|STREAM_CLOSED/],
    ['before the completion', /LEASE_LOST/],
  ])('is refused the write that it was about to make: %s', async (step, refusal) => {
    const victim = await world.startStepped(step);
    await world.subscribe(victim.baseUrl);
    const id = await postRun(victim.baseUrl, INPUT);
    await victim.child.waitForLine(new RegExp(`^STEP ${step}$`));
    victim.child.signal('SIGSTOP');

    const { baseUrl } = await world.startHere();
    const view = await world.expectDone(baseUrl, id, INPUT);
    expect(view.attempt).toBe(2);
    expect(view.worker?.startsWith('here')).toBe(true);

    victim.child.signal('SIGCONT');
    expect(await victim.child.waitForLine(/^REFUSED /)).toMatch(refusal);
    expect(await world.expectDone(baseUrl, id, INPUT)).toEqual(view);
  });
});
