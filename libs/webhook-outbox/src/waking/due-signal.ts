export interface DueListener {
  /** Something is due now that no `send` made so. */
  readonly onDue: () => void;
  /** An endpoint was disabled or deleted. */
  readonly onOff: () => void;
}

/** Lets the services of an instance say what its relay would find later by itself. Until somebody listens nobody needs to know. */
export class DueSignal {
  private listener: DueListener | undefined;

  listen(listener: DueListener): void {
    this.listener = listener;
  }

  tell(): void {
    this.listener?.onDue();
  }

  tellOff(): void {
    this.listener?.onOff();
  }
}
