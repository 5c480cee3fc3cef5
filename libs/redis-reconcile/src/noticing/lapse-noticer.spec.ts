import { Gate, waitFor } from '@nest-baton/testing';
import { Logger } from '@nestjs/common';
import { LapseNoticer } from './lapse-noticer.js';

describe('LapseNoticer', () => {
  it('stops only when every look has ended, also an earlier one that outlasts the last', async () => {
    const gate = new Gate();
    const looked: string[] = [];
    let now = 0;
    const noticer = new LapseNoticer({
      partitions: [{} as never],
      reconciler: {
        lapsed: async (_partition: unknown, [name]: string[]) => {
          if (name === 'slow') await gate.pass();
          looked.push(String(name));
        },
      } as never,
      random: () => 0,
      now: () => now,
      logger: new Logger('test'),
    });
    noticer.notice(0, 'slow', 0);
    await gate.arrived();
    now = 1;
    noticer.notice(0, 'quick', 0);
    await waitFor(() => looked.includes('quick'), { description: 'the second look ended' });
    let isStopped = false;
    const stopping = noticer.stop().then(() => (isStopped = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(isStopped).toBe(false);
    gate.open();
    await stopping;
    expect(looked).toEqual(['quick', 'slow']);
  });
});
