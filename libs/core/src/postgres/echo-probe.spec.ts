import { jest } from '@jest/globals';
import { EchoProbe, type EchoProbeOptions, isEcho } from './echo-probe.js';

const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);

class Scene {
  readonly sent: string[] = [];
  readonly deaf: string[] = [];
  isEchoing = true;
  readonly probe: EchoProbe;

  constructor(options: Partial<EchoProbeOptions> = {}) {
    this.probe = new EchoProbe({
      options: {
        send: (payload) => {
          this.sent.push(payload);
          if (this.isEchoing) this.probe.hear(payload);
          return Promise.resolve();
        },
        ...options,
      },
      onDeaf: ({ message }) => void this.deaf.push(message),
      random: () => 0.5,
    });
  }
}

describe('EchoProbe', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  it('is proven by the first echo, and sends another nonce every interval', async () => {
    const scene = new Scene();
    await scene.probe.start();
    await pass(12_000);
    expect(scene.sent).toHaveLength(4);
    expect(new Set(scene.sent).size).toBe(4);
    expect(scene.sent.every(isEcho)).toBe(true);
    scene.probe.stop();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('is deaf after two misses, once, and sends nothing more', async () => {
    const scene = new Scene();
    scene.isEchoing = false;
    void scene.probe.start();
    await pass(3_999);
    expect(scene.deaf).toEqual([]);
    await pass(60_000);
    expect(scene.deaf).toHaveLength(1);
    expect(scene.sent).toHaveLength(2);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('takes a late echo for one, and forgets the miss before it', async () => {
    const scene = new Scene();
    scene.isEchoing = false;
    void scene.probe.start();
    await pass(2_500);
    scene.probe.hear(scene.sent[0]!);
    await pass(4_000 + 3_999);
    expect(scene.deaf).toEqual([]);
    await pass(10);
    expect(scene.deaf).toHaveLength(1);
  });

  it('ignores nonces of others', async () => {
    const [scene, other] = [new Scene(), new Scene()];
    scene.isEchoing = other.isEchoing = false;
    void scene.probe.start();
    void other.probe.start();
    for (let i = 0; i < 5; i++) {
      for (const nonce of other.sent) scene.probe.hear(nonce);
      await pass(1_000);
    }
    expect(scene.deaf).toHaveLength(1);
  });

  it('counts no miss for a nonce that could not be sent', async () => {
    let failures = 20;
    const scene: Scene = new Scene({
      send: (payload) => {
        if (failures-- > 0) return Promise.reject(new Error('no connection'));
        scene.probe.hear(payload);
        return Promise.resolve();
      },
    });
    const proven = scene.probe.start();
    await pass(1_000);
    expect(scene.probe.sendFailure).toBeDefined();
    await pass(10_000);
    await proven;
    expect(scene.probe.sendFailure).toBeUndefined();
    expect(scene.deaf).toEqual([]);
    scene.probe.stop();
  });
});
