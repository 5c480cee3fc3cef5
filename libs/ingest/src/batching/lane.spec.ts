import { Gate, waitFor } from '@nest-baton/testing';
import type { Batch } from './batch.js';
import { Lane } from './lane.js';

/** A lane of one request at a time, on a clock that says what it is told. */
function laneOn(monotonic: () => number, deliver: (batch: Batch) => Promise<void>): Lane {
  return new Lane(
    {
      commit: 'auto',
      headed: false,
      maxBatchDocs: 100,
      maxDelayMs: 5,
      maxInFlightBytes: Infinity,
      isKickedByTracked: true,
    },
    {
      clock: { now: () => 0, monotonic },
      maxInFlight: () => 1,
      maxBatchBytes: () => 1_000,
      isBufferFull: () => false,
      deliver,
      onDelivered: () => undefined,
      onTakenOut: () => undefined,
    },
  );
}

describe('a document whose time runs out', () => {
  it('between the look at the clock and the next timer goes out all the same', async () => {
    // The timer fires a moment early, and the moment passes while it looks.
    const readings = [0, 4.9];
    let sent = 0;
    const lane = laneOn(
      () => readings.shift() ?? 5.1,
      async () => void sent++,
    );
    lane.append('', '{}', 3, undefined, 0, 1, undefined);
    await waitFor(() => sent === 1, { timeoutMs: 1_000, description: 'the document is sent' });
    lane.stop();
  });

  it('while all requests are busy goes out when one of them ends', async () => {
    let now = 0;
    const busy = new Gate();
    let begun = 0;
    const lane = laneOn(
      () => now,
      async () => {
        if (begun++ === 0) await busy.pass();
      },
    );
    lane.append('', '{}', 3, undefined, 0, 1, undefined);
    lane.flush(1);
    await busy.arrived();
    now = 10;
    lane.append('', '{}', 3, undefined, 0, 2, 0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(begun).toBe(1);
    busy.open();
    await waitFor(() => begun === 2, { description: 'the second request' });
    lane.stop();
  });
});
