import { typedReply } from './typed-reply.js';

describe('typedReply', () => {
  it.each([
    'WRONGTYPE Operation against a key holding the wrong kind of value',
    'WRONGTYPE Operation against a key holding the wrong kind of value script: 1f, on @user_script:5.',
    'ERR Error running script (call to f_1): @user_script:5: WRONGTYPE Operation against a key',
  ])('says what to do, and keeps the word as its cause: %s', (message) => {
    const cause = new Error(message);
    expect(typedReply(cause)).toMatchObject({ code: 'KEY_TYPE_CONFLICT', retryable: false, cause });
  });

  it.each([new Error('NOGROUP No such key'), new Error('ERR unknown command MYWRONGTYPE'), undefined, 'WRONGTYPE'])(
    'leaves any other as it is: %s',
    (error) => {
      expect(typedReply(error)).toBe(error);
    },
  );
});
