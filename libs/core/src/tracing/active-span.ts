import { isSpanContextValid, type SpanContext, trace, TraceFlags } from '@opentelemetry/api';

/**
 * The context of the span that is active here, or `undefined` when there is none, or none that is valid. Never throws. A copy: an SDK's own
 * object may hold on to its whole trace, and ours may wait in a buffer.
 */
export function activeSpanContext(): SpanContext | undefined {
  try {
    const active = trace.getActiveSpan()?.spanContext();
    if (active === undefined || !isSpanContextValid(active)) return undefined;
    const { traceId, spanId, traceFlags, traceState } = active;
    return traceState === undefined ? { traceId, spanId, traceFlags } : { traceId, spanId, traceFlags, traceState };
  } catch {
    return undefined;
  }
}

/** Whether somebody is expected to have recorded the span: a link to any other leads nowhere. */
export function isSampled(context: SpanContext): boolean {
  return (context.traceFlags & TraceFlags.SAMPLED) !== 0;
}
