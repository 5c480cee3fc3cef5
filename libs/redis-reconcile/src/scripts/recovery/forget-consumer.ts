import { script } from '../script.js';

/**
 * Removes a consumer that has nothing pending.
 *
 * ARGV 1: consumer. Returns 1 when it was removed.
 * A script because a consumer that is deleted with entries pending takes them with it.
 */
export const FORGET_CONSUMER = script(
  'forget-consumer',
  `
if #redis.call('XPENDING', STREAM, GROUP, '-', '+', 1, ARGV[1]) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', STREAM, GROUP, ARGV[1])
return 1
`,
);
