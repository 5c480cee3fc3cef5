import {
  activeSpanContext,
  errorType,
  isSampled,
  readTraceContext,
  Tracing,
  writeTraceContext,
} from '@nest-baton/core';
import { type Attributes, SpanKind } from '@opentelemetry/api';
import { REDIS_RECONCILE_METRICS } from '../redis-reconcile.metrics.js';

/** The attributes that all spans have. */
const MESSAGING = { 'messaging.system': 'baton' };

/**
 * The spans of one instance: one for each call of `produce`, of a handler and of `onDeadLetter`.
 *
 * - A handler's is a trace of its own, maybe hours after the call, that links to the call it is made for: also after requeue, dead letter and redrive.
 * - They never tell names of data streams, ids, infos or consumers.
 */
export class HandoffSpans {
  private readonly tracing: Tracing;

  constructor(instance: string) {
    this.tracing = new Tracing(REDIS_RECONCILE_METRICS, instance);
  }

  /** Runs `fn` in the span of a call; `trace` is what is stored with the hand-off, `undefined` when nobody records. */
  async producing(
    fn: (trace: string | undefined) => Promise<{ readonly handoffId: string; readonly outcome: string }>,
  ): Promise<string> {
    if (!this.tracing.isHeeded) return (await fn(undefined)).handoffId;
    const attributes = { ...MESSAGING, 'messaging.operation.name': 'produce', 'messaging.operation.type': 'send' };
    const span = this.tracing.begin('produce', { kind: SpanKind.PRODUCER, attributes });
    try {
      const { handoffId, outcome } = await span.run(() => fn(writeTraceContext(activeSpanContext())?.traceparent));
      span.end({ attributes: { 'baton.outcome': outcome } });
      return handoffId;
    } catch (error) {
      span.end({ errorType: errorType(error) });
      throw error;
    }
  }

  /** Runs a handler in a span; returns, resolves and rejects as it does. */
  handling(attempt: number, trace: string | undefined, fn: () => Promise<void>): Promise<void> {
    return this.tracing.isHeeded ? this.processing('handle', { 'baton.attempt': attempt }, trace, fn) : fn();
  }

  async tellingDeath(attempts: number, trace: string | undefined, fn: () => Promise<void>): Promise<void> {
    await this.processing('handle dead letter', { 'baton.attempt': attempts }, trace, fn);
  }

  private async processing(
    name: string,
    own: Attributes,
    trace: string | undefined,
    fn: () => Promise<void>,
  ): Promise<void> {
    const producer = readTraceContext(trace);
    const links = producer === undefined || !isSampled(producer) ? [] : [producer];
    const operation = { 'messaging.operation.name': name, 'messaging.operation.type': 'process' };
    const attributes = { ...MESSAGING, ...operation, ...own };
    const span = this.tracing.begin(name, { kind: SpanKind.CONSUMER, attributes, parent: 'none', links });
    try {
      await span.run(fn);
      span.end({ attributes: { 'baton.outcome': 'resolved' } });
    } catch (error) {
      span.end({ attributes: { 'baton.outcome': 'threw' }, errorType: errorType(error) });
      throw error;
    }
  }
}
