import { guardedCall, isThenable } from './guarded-call.js';

interface Registration {
  readonly listener: (payload: never) => unknown;
}

/**
 * A small emitter whose events are a type: `Events` maps a name to its payload.
 *
 * - Listeners run synchronously, in the order of registration; a function registered twice runs twice.
 * - Listeners added while an event is emitted hear the next one; listeners removed meanwhile are not called any more.
 * - A listener that throws or rejects is reported to `onListenerError` and never reaches the code that emitted.
 */
export class TypedEvents<Events extends object> {
  private readonly registrations = new Map<keyof Events, Set<Registration>>();

  constructor(private readonly onListenerError: (event: string, error: unknown) => void) {}

  /** Returns the function that removes the listener; calling it twice is harmless. */
  on<Name extends keyof Events>(event: Name, listener: (payload: Events[Name]) => unknown): () => void {
    const registrations = this.registrations.get(event) ?? new Set();
    const registration = { listener };
    this.registrations.set(event, registrations.add(registration));
    return () => void registrations.delete(registration);
  }

  emit<Name extends keyof Events>(event: Name, payload: Events[Name]): void {
    const registrations = this.registrations.get(event);
    if (registrations === undefined) return;
    for (const registration of [...registrations]) {
      if (registrations.has(registration))
        this.call(event, registration.listener as (payload: Events[Name]) => unknown, payload);
    }
  }

  private call<Name extends keyof Events>(
    event: Name,
    listener: (payload: Events[Name]) => unknown,
    payload: Events[Name],
  ): void {
    try {
      const returned = listener(payload);
      if (isThenable(returned)) returned.then(undefined, (error: unknown) => this.report(event, error));
    } catch (error) {
      this.report(event, error);
    }
  }

  private report(event: keyof Events, error: unknown): void {
    guardedCall(`onListenerError for ${String(event)}`, () => this.onListenerError(String(event), error));
  }
}
