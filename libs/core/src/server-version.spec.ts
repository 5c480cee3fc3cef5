import fc from 'fast-check';
import { isVersionAtLeast } from './server-version.js';

describe('isVersionAtLeast', () => {
  it.each([
    ['15.18 (Debian 15.18-0+deb12u1)', '15', true],
    ['15.18 (Debian 15.18-0+deb12u1)', '15.2', true],
    ['15.18 (Debian 15.18-0+deb12u1)', '15.19', false],
    ['18.4', '14', true],
    ['9.6.24', '14', false],
    ['16beta1', '16', true],
    ['16rc2', '17', false],
    ['7.0.15', '6.2', true],
    ['7.0.15', '7.0.15', true],
    ['7.0.15', '7.0.16', false],
    ['6.2', '6.2.0', true],
    ['6.2', '6.2.1', false],
    ['6.0.16', '6.2', false],
    ['10.0.0', '9.9.9', true],
    ['v7.2', '7', true],
    ['  7.2', '7', true],
    ['7.', '7.0', true],
    ['', '1', false],
    ['valkey', '7.2', false],
    ['PostgreSQL 15.3 on x86_64', '14', false],
    ['-1', '1', false],
  ])('%s is at least %s: %s', (version, minimum, expected) => {
    expect(isVersionAtLeast(version, minimum)).toBe(expected);
  });

  it('orders any two versions as their numbers do', () => {
    const versions = fc.array(fc.nat({ max: 99 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(versions, versions, (a, b) => {
        const [first, second] = [a.join('.'), b.join('.')];
        const isEqual = isVersionAtLeast(first, second) && isVersionAtLeast(second, first);
        const padded = (numbers: number[]) => [0, 1, 2, 3].map((i) => numbers[i] ?? 0).join('.');
        return (
          (isVersionAtLeast(first, second) || isVersionAtLeast(second, first)) && isEqual === (padded(a) === padded(b))
        );
      }),
    );
  });
});
