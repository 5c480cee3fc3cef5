/** What the module promises about its speed. */
export const TARGETS = {
  bullmq: { name: 'owned, leased, completed hand-offs against BullMQ', unit: 'x', atLeast: 2 },
  transporter: { name: 'the same against streams-transporter', unit: 'x', atLeast: 3 },
  floor: { name: 'the same against raw read, lease, Lua ack', unit: 'x', atLeast: 0.8 },
  killedWithEvents: { name: 'SIGKILL recovery with events: p99 beyond the lease', unit: 'ms', atMost: 1_000 },
  killedWithout: {
    name: 'SIGKILL recovery without: p99 beyond max(lease, minIdle) + 1.1 x interval',
    unit: 'ms',
    atMost: 1_000,
  },
  leaseCommands: { name: '10 000 leases held: commands', unit: '/s', atMost: 10 },
  leaseCpu: { name: '10 000 leases held: CPU', unit: '% of a core', atMost: 5 },
  deadEntries: { name: '100 000 dead pending entries reconciled', unit: 's', atMost: 5 },
  script: { name: 'meanwhile: the longest script', unit: 'ms', atMost: 20 },
  coverage: { name: 'cluster: masters whose events are covered', unit: '%', atLeast: 100 },
  coverageAgain: { name: 'cluster: covered again after the nodes agree', unit: 's', atMost: 5 },
  chaos: { name: '60 s of SIGKILLs and a failover: hand-offs lost', unit: 'hand-offs', atMost: 0 },
} as const;

export type TargetId = keyof typeof TARGETS;
