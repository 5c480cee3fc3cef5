import { jest } from '@jest/globals';
import { guardedCall } from './guarded-call.js';

describe('guardedCall', () => {
  const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  beforeEach(() => warn.mockClear());
  afterAll(() => warn.mockRestore());

  it('says nothing when the callback is well', () => {
    guardedCall('onLost', () => Promise.resolve());
    expect(warn).not.toHaveBeenCalled();
  });

  it('turns what the callback throws into a process warning that names the callback', () => {
    guardedCall('onLost', () => {
      throw new Error('boom');
    });
    expect(warn).toHaveBeenCalledWith('onLost failed: boom', { type: 'BatonWarning' });
  });

  it('turns a rejection of any thenable into a warning too', async () => {
    guardedCall('onLost', () => ({ then: (_ok: unknown, failed: (error: unknown) => void) => failed('later') }));
    guardedCall('onLost', () => Promise.reject(new Error('native')));
    await Promise.resolve();
    await Promise.resolve();
    expect(warn.mock.calls.map(([text]) => text)).toEqual(['onLost failed: later', 'onLost failed: native']);
  });
});
