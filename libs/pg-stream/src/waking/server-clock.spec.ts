import { ServerClock } from './server-clock.js';

/** A server whose clock is 7 hours ahead, and answers that take as long as the test says. */
class Scene {
  now = 1_000;
  aheadMs = 7 * 3_600_000;
  readonly clock = new ServerClock({ monotonic: () => this.now });

  ask(thereMs: number, backMs: number): void {
    const askedAt = this.now;
    this.now += thereMs;
    const serverMs = this.serverNow;
    this.now += backMs;
    this.clock.heard(serverMs, askedAt);
  }

  get serverNow(): number {
    return this.now + this.aheadMs;
  }

  /** How wrong it is about something that was written just now. */
  get errorMs(): number {
    return (this.clock.since(new Date(this.serverNow - 100_000)) ?? NaN) - 100_000;
  }
}

describe('ServerClock', () => {
  it('knows nothing before the server has told its time, or told nonsense', () => {
    const scene = new Scene();
    scene.clock.heard(NaN, 0);
    expect(scene.clock.since(new Date())).toBeUndefined();
  });

  it('tells the age of what the server has stamped, off by half the time of the answer at most', () => {
    const scene = new Scene();
    scene.ask(4, 0);
    expect(scene.errorMs).toBe(2);
    scene.ask(0, 2);
    expect(scene.errorMs).toBe(-1);
    scene.now += 5_000;
    expect(scene.errorMs).toBe(-1);
  });

  it('keeps the closest answer, until one is closer than it after its drift', () => {
    const scene = new Scene();
    scene.ask(1, 1);
    scene.ask(0, 40);
    expect(scene.errorMs).toBe(0);
    scene.now += 60_000;
    scene.ask(0, 40);
    expect(scene.errorMs).toBe(0);
    scene.ask(0, 10);
    expect(scene.errorMs).toBe(-5);
  });

  it('believes a server whose clock was set, after a while', () => {
    const scene = new Scene();
    scene.ask(0.5, 0.5);
    scene.aheadMs = 0;
    for (let second = 0; second < 20; second++, scene.now += 1_000) scene.ask(1, 1);
    expect(Math.abs(scene.errorMs)).toBeLessThan(1);
  });

  it('never calls anything younger than now', () => {
    const scene = new Scene();
    scene.ask(0, 4);
    expect(scene.clock.since(new Date(scene.serverNow))).toBe(0);
  });
});
