import { isLoopback } from './access.js';

describe('isLoopback', () => {
  it.each([
    { address: '127.0.0.1' },
    { address: '127.9.9.9' },
    { address: '::1' },
    { address: '::ffff:127.0.0.1' },
    '/run/app.sock',
  ])('says that only this machine reaches %j', (address) => {
    expect(isLoopback(address)).toBe(true);
  });

  it.each([
    { address: '0.0.0.0' },
    { address: '::' },
    { address: '10.0.0.1' },
    { address: '::ffff:10.0.0.1' },
    { address: '1127.0.0.1' },
    null,
    undefined,
  ])('does not say so of %j', (address) => {
    expect(isLoopback(address)).toBe(false);
  });
});
