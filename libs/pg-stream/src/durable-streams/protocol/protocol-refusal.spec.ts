import * as errors from '../../pg-stream.errors.js';
import { statusOf } from './protocol-refusal.js';

/** Never thrown by what the protocol asks for, or no fault of the request. */
const INTERNAL = ['STREAM_EXISTS', 'EXPECTED_INDEX_MISMATCH', 'STREAM_DAMAGED'];

/** Answered in the protocol's own words, with headers, before they come here. */
const EXPLAINED = ['PRODUCER_FENCED', 'PRODUCER_SEQ_GAP'];

const codes = Object.values(errors).map((ErrorClass) => {
  const { code } = new (ErrorClass as unknown as new (message: string, more: object) => { code: string })('x', {});
  return code;
});

describe('statusOf', () => {
  it('knows every error of the module', () => {
    expect(codes.length).toBeGreaterThanOrEqual(16);
    const unknown = codes.filter((code) => statusOf(code) === 500);
    expect(unknown.sort()).toEqual([...INTERNAL, ...EXPLAINED].sort());
  });

  it('says 503 for what may succeed when it is repeated, and 500 for what it does not know', () => {
    const retryable = ['STREAM_BUSY', 'STREAM_UNAVAILABLE', 'APPEND_UNKNOWN', 'WRITER_QUEUE_FULL', 'SHUTTING_DOWN'];
    expect(retryable.map(statusOf)).toEqual(retryable.map(() => 503));
    expect([statusOf('EACCES'), statusOf(undefined)]).toEqual([500, 500]);
  });
});
