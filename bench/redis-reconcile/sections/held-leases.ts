import { setTimeout as sleep } from 'node:timers/promises';
import { startRedis } from '@nest-baton/testing';
import { Redis } from 'ioredis';
import { type Bench, single } from '../../harness/index.js';
import { startSubject } from '../subject.js';
import type { TargetId } from '../targets.js';

const SIZES = { full: [100, 1_000, 3_000, 10_000], quick: [100, 1_000] };

interface Cost {
  readonly leases: number;
  readonly cpuPercent: number;
  readonly commandsPerSecond: number;
}

/** What it costs a process to hold leases and do nothing else; once a size, over several renewal intervals. */
export async function measureHeldLeases(bench: Bench<TargetId>): Promise<void> {
  await bench.section('leases held', async (use) => {
    const { url } = use(await startRedis({ exclusive: true }));
    const costs: Cost[] = [];
    for (const leases of bench.pick(SIZES.full, SIZES.quick)) {
      const holder = use(await startSubject(`${leases} leases`, 'holder', { url, service: `held-${leases}`, leases }));
      await holder.run({ add: leases });
      const forMs = bench.pick(20_000, 3_500);
      const [{ cpuPercent = NaN }, commands] = await Promise.all([holder.run({ forMs }), commandsWithin(url, forMs)]);
      costs.push({ leases, cpuPercent, commandsPerSecond: (commands * 1000) / forMs });
      bench.say(`  ${leases} leases: ${cpuPercent.toFixed(1)} % of a core, ${commands} commands in ${forMs} ms`);
      await holder.stop();
    }
    report(bench, costs);
  });
}

function report(bench: Bench<TargetId>, costs: readonly Cost[]): void {
  const last = costs.at(-1);
  if (last === undefined) return;
  const note = `${last.leases} leases of 10 s in one process, nothing else`;
  bench.meets('leaseCommands', single(last.commandsPerSecond), note);
  bench.meets('leaseCpu', single(last.cpuPercent), note);
  const common = { xLabel: 'leases held', xScale: 'log' } as const;
  bench.curve({
    ...common,
    file: 'cpu-by-leases',
    title: 'Processor time of a process that holds leases',
    yLabel: '% of a core',
    lines: [{ name: 'ours', points: costs.map(({ leases, cpuPercent }) => [leases, cpuPercent] as const) }],
  });
  bench.curve({
    ...common,
    file: 'commands-by-leases',
    title: 'Commands of a process that holds leases',
    yLabel: 'commands/s',
    lines: [
      { name: 'ours', points: costs.map(({ leases, commandsPerSecond }) => [leases, commandsPerSecond] as const) },
    ],
  });
}

/** As the server sees them; those inside scripts are not commands of a client. */
async function commandsWithin(url: string, forMs: number): Promise<number> {
  const redis = new Redis(url);
  const monitor = await redis.monitor();
  let commands = 0;
  monitor.on('monitor', (_time: string, _args: readonly string[], source: string) => {
    if (source !== 'lua') commands++;
  });
  await sleep(forMs);
  monitor.disconnect();
  redis.disconnect();
  return commands;
}
