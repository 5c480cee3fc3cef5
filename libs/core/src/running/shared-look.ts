/**
 * Asks a server something now and then for whoever wants to know: callers at the same time share one question, and one that is never
 * answered is not joined by a second.
 */
export class SharedLook<T> {
  private current: Promise<T> | undefined;

  constructor(private readonly ask: () => Promise<T>) {}

  /** @throws what the question throws, or an Error when there is no answer after `ms`. */
  async within(ms: number): Promise<T> {
    this.current ??= this.begin();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
    });
    try {
      return await Promise.race([this.current, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  private begin(): Promise<T> {
    const look = this.ask();
    const over = (): void => void (this.current = undefined);
    // Nobody may be left to hear of a failure.
    look.then(over, over);
    return look;
  }
}
