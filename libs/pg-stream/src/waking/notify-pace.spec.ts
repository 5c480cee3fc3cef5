import { NotifyPace } from './notify-pace.js';

describe('NotifyPace', () => {
  /** NOTIFYs of `seconds` in which the process always has something to tell. */
  function busyFor(seconds: number): number {
    let now = 0;
    const pace = new NotifyPace({ monotonic: () => now });
    let sent = 0;
    for (; now < seconds * 1_000; sent++) now += 0.2 + pace.spend();
    return sent;
  }

  it('lets twenty leave at once, and about 600 a second after that', () => {
    expect(busyFor(1)).toBeGreaterThan(600);
    expect(busyFor(10)).toBeLessThanOrEqual(6_021);
    expect(busyFor(10)).toBeGreaterThan(5_900);
  });

  it('lets none wait at 500 a second, also when they come in lumps of ten', () => {
    let now = 0;
    const pace = new NotifyPace({ monotonic: () => now });
    const waits = new Set<number>();
    for (let nth = 0; nth < 5_000; nth++) {
      if (nth % 10 === 0) now += 20;
      waits.add(pace.spend());
    }
    expect([...waits]).toEqual([0]);
  });

  it('asks for less than 2 ms', () => {
    const pace = new NotifyPace({ monotonic: () => 0 });
    const waits = Array.from({ length: 20 }, () => pace.spend());
    expect(waits.slice(0, 19)).toEqual(Array(19).fill(0));
    expect(waits[19]).toBeGreaterThan(0);
    expect(waits[19]).toBeLessThan(2);
  });
});
