/** What the module promises about its speed. */
export const TARGETS = {
  forget: { name: 'fire and forget against the hand-written loop', unit: 'x', atLeast: 0.9 },
  receipts: { name: 'receipts against a promise per document', unit: 'x', atLeast: 0.85 },
  elastic: { name: 'receipts against helpers.bulk', unit: 'x', atLeast: 1.3 },
  cpu: { name: 'CPU per document, receipts against helpers.bulk', unit: 'x', atMost: 0.75 },
  memory: { name: 'server stalled: memory growth above the configured bytes', unit: 'MB', atMost: 64 },
  eventLoop: { name: 'server stalled: event loop p99', unit: 'ms', atMost: 50 },
  lone: { name: 'lone ingestSync: p99 above a bare POST', unit: 'ms', atMost: 5 },
  lost: { name: 'faults: documents lost or unreported', unit: 'documents', atMost: 0 },
  unsettled: { name: 'faults: documents unsettled after close', unit: 'documents', atMost: 0 },
  unflagged: { name: 'faults: possible duplicates not flagged', unit: 'documents', atMost: 0 },
  items: { name: 'faults: a tenth of the items 429, documents lost', unit: 'documents', atMost: 0 },
  burst: { name: 'burst, then close: documents lost, unreported or unsettled', unit: 'documents', atMost: 0 },
  promises: { name: 'fire and forget: promises a document', unit: 'promises', atMost: 0 },
  // An array of line ends that grows. A closure or a promise is 64 bytes at least.
  allocated: { name: 'fire and forget: allocated beyond its JSON a document', unit: 'bytes', atMost: 48 },
  sink: { name: 'the sink: CPU per document against the hand-written loop', unit: 'x', atMost: 0.5 },
} as const;

export type TargetId = keyof typeof TARGETS;
