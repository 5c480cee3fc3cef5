import { waitFor } from './wait-for.js';

describe('waitFor', () => {
  it('gives what the condition gave as soon as that is truthy', async () => {
    let asked = 0;
    const value = await waitFor(() => (++asked < 3 ? undefined : { asked }), { description: 'the third question' });
    expect(value).toEqual({ asked: 3 });
  });

  it('names what it waited for when time is up', async () => {
    await expect(waitFor(() => 0, { timeoutMs: 30, description: 'pigs fly' })).rejects.toMatchObject({
      code: 'WAIT_TIMEOUT',
      message: 'Waited 30 ms in vain until: pigs fly.',
    });
  });

  it('gives up also on a condition that never settles', async () => {
    const never = () => new Promise<boolean>(() => undefined);
    await expect(waitFor(never, { timeoutMs: 30, description: 'never' })).rejects.toMatchObject({
      code: 'WAIT_TIMEOUT',
    });
  });

  it('ends at once with the error of a condition that throws', async () => {
    let asked = 0;
    const failing = () => {
      asked++;
      throw new Error('it is over');
    };
    await expect(waitFor(failing, { description: 'nothing' })).rejects.toThrow('it is over');
    expect(asked).toBe(1);
  });
});
