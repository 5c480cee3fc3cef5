/** Lets the services of an instance say that something is due now that no `send` made so. Until somebody listens nobody needs to know. */
export class DueSignal {
  private listener: () => void = () => undefined;

  listen(listener: () => void): void {
    this.listener = listener;
  }

  tell(): void {
    this.listener();
  }
}
