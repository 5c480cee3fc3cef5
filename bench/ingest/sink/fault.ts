/**
 * What the sink does to requests. `stall`: takes them in and answers none until the fault is over. `items-429` refuses every tenth document of
 * bulk requests.
 */
export const FAULTS = ['none', 'second-429', 'second-503', 'fifth-reset', 'items-429', 'stall'] as const;

export type Fault = (typeof FAULTS)[number];

export function isFault(text: string): text is Fault {
  return (FAULTS as readonly string[]).includes(text);
}

/** A run under a fault. */
export interface FaultRun {
  readonly fault: Fault;
  readonly documents: number;
  /** All documents as fast as they can be made, without waiting for room. */
  readonly isBurst?: boolean;
  /** Ours alone. */
  readonly protocol?: 'bulk';
}
