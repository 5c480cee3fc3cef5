/**
 * A small emitter whose events are a type: `Events` maps a name to its payload.
 *
 * - Listeners run synchronously, in the order of registration.
 * - A listener that throws or rejects is reported to `onListenerError` and never reaches the code that emitted.
 */
export class TypedEvents<Events extends object> {
  private readonly listeners = new Map<keyof Events, Set<(payload: never) => unknown>>();

  constructor(private readonly onListenerError: (event: string, error: unknown) => void) {}

  /** Returns the function that removes the listener; calling it twice is harmless. */
  on<Name extends keyof Events>(event: Name, listener: (payload: Events[Name]) => unknown): () => void {
    const listeners = this.listeners.get(event) ?? new Set();
    this.listeners.set(event, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  emit<Name extends keyof Events>(event: Name, payload: Events[Name]): void {
    for (const listener of this.listeners.get(event) ?? []) {
      try {
        const returned = (listener as (payload: Events[Name]) => unknown)(payload);
        if (returned instanceof Promise) returned.catch((error: unknown) => this.onListenerError(String(event), error));
      } catch (error) {
        this.onListenerError(String(event), error);
      }
    }
  }
}
