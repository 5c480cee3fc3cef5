import fc from 'fast-check';
import { interleaved, playActors } from './actors.js';
import { seededRandom } from './seeded-random.js';

const seeds = fc.integer({ min: 0, max: 0xffff_ffff });

describe('playActors', () => {
  it('finds the order in which a read-modify-write loses an update', async () => {
    const property = fc.asyncProperty(fc.scheduler(), async (s) => {
      let stored = 0;
      const increments = () => {
        let read = 0;
        return [() => void (read = stored), () => void (stored = read + 1)];
      };
      await playActors(s, { a: increments(), b: increments() });
      expect(stored).toBe(2);
    });
    await expect(fc.assert(property)).rejects.toThrow(/a 1[^]*b 1|b 1[^]*a 1/);
  });

  it("keeps each actor's order, waits for each step, and plays all of them", async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(fc.nat(4), { maxLength: 4 }), async (s, lengths) => {
        const seen: string[] = [];
        const actors = lengths.map((length, actor) =>
          Array.from({ length }, (_, i) => async () => {
            await s.schedule(Promise.resolve());
            seen.push(`${actor}:${i}`);
          }),
        );
        await playActors(s, Object.fromEntries(actors.entries()));
        for (const [actor, steps] of actors.entries())
          expect(seen.filter((what) => what.startsWith(`${actor}:`))).toEqual(steps.map((_, i) => `${actor}:${i}`));
      }),
    );
  });

  it('rejects with what a step threw when all others are through', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), async (s) => {
        const seen: string[] = [];
        const broken = [() => Promise.reject(new Error('boom')), () => void seen.push('after')];
        const played = playActors(s, { broken, sound: [() => seen.push('1'), () => seen.push('2')] });
        await expect(played).rejects.toThrow('boom');
        expect(seen).toEqual(['1', '2']);
      }),
    );
  });
});

describe('interleaved', () => {
  const nothing = () => undefined;

  it("is an order of all steps that keeps each actor's own, and the same for the same seed", () => {
    fc.assert(
      fc.property(seeds, fc.dictionary(fc.string(), fc.nat(5)), (seed, lengths) => {
        const actors = Object.fromEntries(
          Object.entries(lengths).map(([name, length]) => [name, Array.from({ length }, () => () => undefined)]),
        );
        const order = interleaved(seededRandom(seed), actors);
        for (const [name, steps] of Object.entries(actors))
          expect(order.filter(({ actor }) => actor === name).map(({ step }) => step)).toEqual(steps);
        expect(order).toHaveLength(Object.values(actors).flat().length);
        expect(interleaved(seededRandom(seed), actors)).toEqual(order);
      }),
    );
  });

  it('finds every interleaving, each about as often as the others', () => {
    const times = new Map<string, number>();
    for (let seed = 0; seed < 6_000; seed++) {
      const order = interleaved(seededRandom(seed), { a: [nothing, nothing], b: [nothing, nothing] });
      const text = order.map(({ actor }) => actor).join('');
      times.set(text, (times.get(text) ?? 0) + 1);
    }
    expect([...times.keys()].toSorted()).toEqual(['aabb', 'abab', 'abba', 'baab', 'baba', 'bbaa']);
    for (const count of times.values()) expect(Math.abs(count - 1_000)).toBeLessThan(200);
  });
});
