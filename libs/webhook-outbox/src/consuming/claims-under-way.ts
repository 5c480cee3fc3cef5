/** Claims of this process, by event, from the moment they are made until they are settled, handed back or lost. */
export class ClaimsUnderWay {
  private readonly byEvent = new Map<string, Map<string, number>>();
  private waiting: (() => void)[] = [];

  begun(claims: readonly { readonly id: string; readonly outboxId: string }[]): void {
    for (const { id, outboxId } of claims) {
      const ids = this.byEvent.get(outboxId) ?? new Map<string, number>();
      // Lost without notice and claimed anew: then each of the two ends for itself.
      ids.set(id, (ids.get(id) ?? 0) + 1);
      this.byEvent.set(outboxId, ids);
    }
  }

  ended({ id, outboxId }: { readonly id: string; readonly outboxId: string }): void {
    const ids = this.byEvent.get(outboxId);
    const left = (ids?.get(id) ?? 0) - 1;
    if (left > 0) ids?.set(id, left);
    else ids?.delete(id);
    if (ids?.size === 0) this.byEvent.delete(outboxId);
    this.wake();
  }

  idsOf(outboxId: string): readonly string[] {
    return [...(this.byEvent.get(outboxId)?.keys() ?? [])];
  }

  /** Resolves when something has ended, or after so long. */
  async change(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
      this.waiting.push(resolve);
    });
    clearTimeout(timer);
  }

  wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}
