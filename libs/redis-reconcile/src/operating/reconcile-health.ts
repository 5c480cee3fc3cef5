import { describeError } from '@nest-baton/core';
import type { InstanceConnection } from '../connecting/instance-connection.js';
import type { TopologyReport } from '../topology/topology-report.js';

type Mode = 'listening' | 'scanning' | 'producing';

/** Of a cluster only. */
export interface MastersKnown {
  readonly masters?: number;
  /** Those whose expiry events arrive here. */
  readonly subscribed?: number;
  readonly isSettled?: boolean;
}

/**
 * - `up`: Redis answers, and orphans are found: by expiry events with the scan behind them, or by the scan alone where events are off on
 *   purpose. `producing`: this process has no handler, and finds none.
 * - `degraded`: so it does, with something amiss.
 *   `masters_away`: some masters of the cluster do not answer, and what they serve waits for them or for their replicas.
 *   `not_settled`: the nodes of the cluster do not agree, or say that it is not ok.
 *   `events_lost`: expiry events were asked for and do not arrive, or the server does not let us see whether; the scan alone finds orphans.
 * - `down`: nothing can be handed off.
 *   `redis`: it refuses PING, or does not answer within `commandTimeout`, 3 s at most; in a cluster, no master answers. `closed`: the application
 *   has shut down. `repartitioned`: the number of partitions is another one than this process is set to: restart it with that.
 */
export type RedisReconcileHealth =
  | ({ readonly state: 'up'; readonly mode: Mode } & MastersKnown)
  | ({
      readonly state: 'degraded';
      readonly mode: Mode;
      readonly reason: 'masters_away' | 'not_settled' | 'events_lost';
      readonly message: string;
    } & MastersKnown)
  | { readonly state: 'down'; readonly reason: 'redis' | 'closed' | 'repartitioned'; readonly message: string };

export interface ReconcileFacts {
  readonly hasHandler: boolean;
  /** `undefined`: they were not asked for. */
  readonly events: { readonly isCovered: boolean; readonly reason: string } | undefined;
  readonly topology: TopologyReport;
}

/** A server that takes longer for PING, whatever `commandTimeout` allows, is of no use to anybody. */
const TIMEOUT_MS = 3_000;

/** Asks the server. Never rejects. */
export async function askHealth(
  connection: Pick<InstanceConnection, 'answers' | 'refusal'>,
  facts: () => ReconcileFacts,
): Promise<RedisReconcileHealth> {
  try {
    await connection.answers(TIMEOUT_MS);
  } catch (error) {
    return { state: 'down', reason: 'redis', message: describeError(error) };
  }
  const { refusal } = connection;
  return refusal === undefined ? decideHealth(facts()) : { state: 'down', reason: 'repartitioned', message: refusal };
}

/** What an operator needs to know when Redis has answered; pure. */
export function decideHealth({ hasHandler, events, topology }: ReconcileFacts): RedisReconcileHealth {
  const { masters, answering, subscribed, isSettled } = topology;
  const known: MastersKnown = topology.topology === 'cluster' ? { masters, subscribed, isSettled } : {};
  if (masters > 0 && answering === 0) return { state: 'down', reason: 'redis', message: 'no master answers' };
  const isListening = events?.isCovered === true;
  const mode = !hasHandler ? 'producing' : isListening ? 'listening' : 'scanning';
  if (answering < masters)
    return {
      ...{ state: 'degraded', mode, reason: 'masters_away', ...known },
      message: `${masters - answering} of ${masters} masters do not answer: what they serve waits`,
    };
  if (!isSettled)
    return {
      ...{ state: 'degraded', mode, reason: 'not_settled', ...known },
      message: `the cluster has not settled: ${topology.reason}`,
    };
  if (!hasHandler || events === undefined || isListening) return { state: 'up', mode, ...known };
  return {
    ...{ state: 'degraded', mode, reason: 'events_lost', ...known },
    message: `expiry events do not arrive, the scan goes on: ${events.reason}`,
  };
}
