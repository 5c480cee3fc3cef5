import { type Attributes, context, type Context, diag, type Span, SpanStatusCode } from '@opentelemetry/api';
import { describeError } from '../describe-error.js';

/** How a span ends. */
export interface SpanEnd {
  readonly attributes?: Attributes | undefined;
  /** Set when what the span is about failed: becomes `error.type` and the status `ERROR`. See `errorType()`. */
  readonly errorType?: string | undefined;
}

type Ran<T> = { readonly value: T } | { readonly thrown: unknown };

/**
 * A span that runs.
 *
 * - What an SDK throws reaches nobody: it is told to OpenTelemetry's `diag`, and work goes on without the span.
 * - An error leaves its type only. Messages and stacks may quote what was sent, so there is no exception event and no status description.
 * - Ends once; later ends do nothing.
 */
export class OpenSpan {
  private hasEnded = false;

  /** @param span undefined when none could be begun; then nothing here does anything but `run`. */
  constructor(
    private readonly span?: Span,
    private readonly around?: Context,
  ) {}

  /** Calls `fn` once, with this span active in it and in what it starts. Returns and throws what `fn` does. */
  run<T>(fn: () => T): T {
    const { around } = this;
    if (around === undefined) return fn();
    const ran: Ran<T>[] = [];
    unharmed(() => context.with(around, () => void (ran.length === 0 && ran.push(outcomeOf(fn)))));
    // A context manager that failed before it called.
    const outcome = ran[0] ?? outcomeOf(fn);
    if ('thrown' in outcome) throw outcome.thrown;
    return outcome.value;
  }

  end({ attributes, errorType }: SpanEnd = {}): void {
    const { span } = this;
    if (this.hasEnded || span === undefined) return;
    this.hasEnded = true;
    unharmed(() => {
      if (attributes !== undefined) span.setAttributes(attributes);
      if (errorType === undefined) return;
      span.setAttribute('error.type', errorType);
      span.setStatus({ code: SpanStatusCode.ERROR });
    });
    unharmed(() => span.end());
  }
}

/** Calls into an SDK. */
export function unharmed<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    tell(error);
    return undefined;
  }
}

/** Its logger is the application's, and may throw as well. */
function tell(error: unknown): void {
  try {
    diag.warn(`Baton: a span could not be recorded: ${describeError(error)}`);
  } catch {
    // There is nobody left to tell.
  }
}

function outcomeOf<T>(fn: () => T): Ran<T> {
  try {
    return { value: fn() };
  } catch (thrown) {
    return { thrown };
  }
}
