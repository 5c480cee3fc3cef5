import { postRun, RunWorld } from './support/run-service.js';

const INPUT = 'first line\r\nsecond\n\nfourth: data:\nfifth without an end';

describe('a run whose worker dies', () => {
  let world: RunWorld;

  beforeEach(async () => {
    world = await RunWorld.create();
  });

  afterEach(async () => {
    await world.stop();
  });

  it.each([
    ['claimed', 2],
    ['opened', 2],
    ['appended', 2],
    ['ingested', 2],
    ['indexed', 2],
    ['finished in an open transaction', 2],
    ['sent in an open transaction', 2],
    ['committed', 1],
    ['handled', 1],
  ])('is finished by another worker after SIGKILL at the step "%s"', async (step, attempt) => {
    const victim = await world.startStepped(step);
    await world.subscribe(victim.baseUrl);
    const id = await postRun(victim.baseUrl, INPUT);
    await victim.child.waitForLine(new RegExp(`^STEP ${step}$`));
    victim.child.signal('SIGKILL');
    await victim.child.exited;

    const { baseUrl } = await world.startHere();
    const view = await world.expectDone(baseUrl, id, INPUT);
    expect(view.attempt).toBe(attempt);
    expect(view.worker?.startsWith(attempt === 1 ? 'victim' : 'here')).toBe(true);
  });

  it('is handed off by the poller when the service dies between the commit and the hand-off', async () => {
    const victim = await world.startStepped('accepted', { BATON_ROLE: 'api' });
    await world.subscribe(victim.baseUrl);
    const answer = postRun(victim.baseUrl, INPUT).catch(() => undefined);
    await victim.child.waitForLine(/^STEP accepted$/);
    victim.child.signal('SIGKILL');
    expect(await answer).toBeUndefined();

    const { baseUrl } = await world.startHere();
    const id = await world.onlyRunId();
    expect(await world.expectDone(baseUrl, id, INPUT)).toMatchObject({ attempt: 1 });
  });
});
