import { readTestingEnvironment } from '../environment.js';
import { soakPlan } from './soak-plan.js';

const plan = (env: Record<string, string>) => soakPlan(readTestingEnvironment(env));

describe('soakPlan', () => {
  it('takes its seed and its length from the environment', () => {
    expect(plan({ SLOW_SEED: '7', SLOW_SECONDS: '15' })).toEqual({ seed: 7, durationMs: 15_000 });
  });

  it('takes a minute and another seed each time without them', () => {
    const plans = Array.from({ length: 8 }, () => plan({}));
    expect(new Set(plans.map(({ seed }) => seed)).size).toBeGreaterThan(1);
    expect(plans.map(({ durationMs }) => durationMs)).toEqual(Array(8).fill(60_000));
  });

  it.each([
    ['SLOW_SEED', 'abc'],
    ['SLOW_SEED', '-1'],
    ['SLOW_SEED', '4294967296'],
    ['SLOW_SECONDS', '0'],
    ['SLOW_SECONDS', '1.5'],
    ['SLOW_SECONDS', '1e9'],
  ])('refuses %s=%s by name', (name, value) => {
    expect(() => plan({ [name]: value })).toThrow(new RegExp(`^${name} must be a whole number.*"${value}"`));
  });
});
