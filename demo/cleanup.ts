interface Stoppable {
  stop(): Promise<unknown>;
}

/** Stops everything that was started, last first, exactly once, whichever way the demo ends. */
export class Cleanup {
  private readonly owned: Stoppable[] = [];
  private running: Promise<void> | undefined;

  /** What starts after `run()` has begun is stopped at once. */
  async own<T extends Stoppable>(starting: Promise<T>): Promise<T> {
    const started = await starting;
    if (this.running !== undefined) {
      await started.stop();
      throw new Error('the demo is being stopped');
    }
    this.owned.push(started);
    return started;
  }

  run(): Promise<void> {
    return (this.running ??= this.stopAll());
  }

  private async stopAll(): Promise<void> {
    for (const stoppable of this.owned.reverse()) {
      try {
        await stoppable.stop();
      } catch (error) {
        process.stderr.write(`could not be stopped: ${String(error)}\n`);
      }
    }
  }
}
