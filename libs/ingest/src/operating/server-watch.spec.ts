import { ServerWatch } from './server-watch.js';

describe('ServerWatch', () => {
  let nowMs: number;
  let watch: ServerWatch;

  beforeEach(() => {
    nowMs = 1_000;
    watch = new ServerWatch({ now: () => 0, monotonic: () => nowMs });
  });

  it('counts from the begin of the first batch that is tried until one is taken', () => {
    expect(watch.view()).toEqual({ stalledMs: 0, isFailing: false, isTrying: false, denied: undefined });
    watch.begin();
    nowMs += 30;
    watch.begin();
    nowMs += 20;
    expect(watch.view().stalledMs).toBe(50);
    watch.taken();
    watch.end();
    nowMs += 5;
    expect(watch.view().stalledMs).toBe(5);
    watch.taken();
    watch.end();
    expect(watch.view().stalledMs).toBe(0);
  });

  it('goes on counting over batches that are given up one after the other, but not over a gap in traffic', () => {
    for (let i = 0; i < 3; i++) {
      watch.begin();
      nowMs += 40_000;
      watch.failed();
      watch.end();
    }
    watch.begin();
    expect(watch.view()).toMatchObject({ stalledMs: 120_000, isFailing: true });
    watch.end();
    nowMs += 10_001;
    watch.begin();
    expect(watch.view()).toMatchObject({ stalledMs: 0, isFailing: true });
  });

  it('tells how long the trouble lasted, once', () => {
    watch.begin();
    watch.failed();
    nowMs += 70;
    watch.denied(401);
    nowMs += 30;
    expect(watch.view()).toEqual({
      stalledMs: 100,
      isFailing: true,
      isTrying: true,
      denied: { status: 401, agoMs: 30 },
    });
    expect(watch.taken()).toBe(100);
    expect(watch.taken()).toBeUndefined();
    expect(watch.view()).toEqual({ stalledMs: 0, isFailing: false, isTrying: true, denied: undefined });
  });
});
