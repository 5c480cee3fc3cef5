import { SharedLook } from './shared-look.js';

describe('SharedLook', () => {
  it('asks once for all who ask at the same time, and anew for the next', async () => {
    let asked = 0;
    const look = new SharedLook(() => Promise.resolve(++asked));
    expect(await Promise.all([look.within(1_000), look.within(1_000)])).toEqual([1, 1]);
    expect(await look.within(1_000)).toBe(2);
  });

  it('does not wait for ever, nor ask again before the question that hangs has ended', async () => {
    let asked = 0;
    let fail: (error: Error) => void = () => undefined;
    const look = new SharedLook(() => {
      asked++;
      return asked === 1 ? new Promise<number>((_, reject) => (fail = reject)) : Promise.resolve(asked);
    });
    await expect(look.within(5)).rejects.toThrow('no answer within 5 ms');
    await expect(look.within(5)).rejects.toThrow('no answer within 5 ms');
    expect(asked).toBe(1);
    fail(new Error('gone'));
    await new Promise((resolve) => setImmediate(resolve));
    expect(await look.within(5)).toBe(2);
  });

  it('throws what the question throws, and leaves no rejection behind', async () => {
    const look = new SharedLook(() => Promise.reject(new Error('refused')));
    await expect(look.within(1_000)).rejects.toThrow('refused');
  });
});
