/**
 * Where a run stands.
 *
 * `accepted`: committed, nobody works on it; ended by a claim. `running`: one owner works on it under a fence; ended by its completion, by another
 * claim (which stays `running` under a higher fence) or by its dead letter. `done` and `failed` are final.
 */
export type RunState = 'accepted' | 'running' | 'done' | 'failed';

export interface RunStatus {
  readonly id: string;
  readonly state: RunState;
  /** Of the hand-off under which a worker began it last, from 1; 0 before the first. */
  readonly attempt: number;
  readonly worker: string | null;
  /** Chunks before this index are indexed. */
  readonly indexedTo: number;
  /** Why it failed. */
  readonly failure: string | null;
}

/** A run that this process may work on, under the fence it was claimed with. */
export interface ClaimedRun {
  readonly id: string;
  readonly fence: number;
  readonly input: Buffer;
  readonly indexedTo: number;
}
