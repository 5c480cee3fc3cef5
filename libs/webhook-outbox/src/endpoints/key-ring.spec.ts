import { KeyRing } from './key-ring.js';

const key = (fill: number) => Buffer.alloc(32, fill).toString('base64');
const secret = Buffer.alloc(32, 1);

describe('KeyRing', () => {
  it('opens what it sealed, and seals the same secret differently each time', () => {
    const ring = new KeyRing([{ id: 'a', key: key(1) }]);
    const [one, two] = [ring.seal(secret, 'ep'), ring.seal(secret, 'ep')];
    expect(one.keyId).toBe('a');
    expect(one.sealed.equals(two.sealed)).toBe(false);
    expect(one.sealed.includes(secret)).toBe(false);
    expect(ring.open(one, 'ep').equals(secret)).toBe(true);
  });

  it('seals with the first key and opens with any', () => {
    const old = new KeyRing([{ id: 'old', key: key(1) }]).seal(secret, 'ep');
    const ring = new KeyRing([
      { id: 'new', key: key(2) },
      { id: 'old', key: key(1) },
    ]);
    expect(ring.open(old, 'ep').equals(secret)).toBe(true);
    expect(ring.seal(secret, 'ep').keyId).toBe('new');
  });

  it('refuses another endpoint, another key under the id, a missing key, and a damaged row', () => {
    const ring = new KeyRing([{ id: 'a', key: key(1) }]);
    const sealed = ring.seal(secret, 'ep');
    const damaged = Buffer.from(sealed.sealed);
    damaged.writeUInt8(damaged.readUInt8(30) ^ 1, 30);
    const attempts = [
      () => ring.open(sealed, 'other'),
      () => new KeyRing([{ id: 'a', key: key(2) }]).open(sealed, 'ep'),
      () => new KeyRing([{ id: 'b', key: key(1) }]).open(sealed, 'ep'),
      () => ring.open({ keyId: 'a', sealed: damaged }, 'ep'),
      () => ring.open({ keyId: 'a', sealed: Buffer.alloc(3) }, 'ep'),
      () => new KeyRing([]).seal(secret, 'ep'),
    ];
    for (const attempt of attempts) expect(attempt).toThrow(expect.objectContaining({ code: 'KEY_RING_INVALID' }));
  });
});
