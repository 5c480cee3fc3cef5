import { type Random, ServerUnsupportedError } from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import type { ListenedTo } from './expiry-channel.js';
import { type EventsMaster, ExpirySubscription } from './expiry-subscription.js';

export interface ExpiryListenersOptions extends ListenedTo {
  readonly mode: 'auto' | 'require' | 'verify' | 'off';
  readonly commandTimeoutMs: number;
  readonly random: Random;
  readonly logger: Logger;
  readonly onExpired: (partition: number, dataStream: string) => void;
  readonly onCoverage: (isCovered: boolean, reason: string) => void;
  /** A master was asked for its events, for the first time or again. */
  readonly onSetUp: (isCovered: boolean) => void;
}

/**
 * The ears of a process: one subscription on each master, since a master's events are told nowhere else.
 *
 * - Covered only while all masters are. Never more than one subscription to a master, and none to a node that is none any more.
 */
export class ExpiryListeners {
  private readonly subscriptions = new Map<string, { readonly name: string; readonly ear: ExpirySubscription }>();
  private isStopped = false;
  private isDown = true;
  private missing: string | undefined;
  private told: boolean | undefined;

  constructor(private readonly options: ExpiryListenersOptions) {}

  get isCovered(): boolean {
    return this.reason === '';
  }

  /** Why they are not covered, or empty. */
  get reason(): string {
    if (this.options.mode === 'off') return 'expiry events are switched off';
    if (this.isDown) return 'not subscribed yet';
    if (this.missing !== undefined) return `there is no subscription to master ${this.missing} yet`;
    for (const { name, ear } of this.subscriptions.values())
      if (!ear.isCovered) return this.subscriptions.size === 1 ? ear.reason : `master ${name}: ${ear.reason}`;
    return '';
  }

  /** Masters whose events arrive. */
  get covered(): number {
    return [...this.subscriptions.values()].filter(({ ear }) => ear.isCovered).length;
  }

  /**
   * Listens to these and to nobody else; those that were listened to already are asked again for their flags. Resolves when each has confirmed or
   * failed, and goes on trying. Never throws. One at a time.
   */
  async follow(masters: readonly EventsMaster[]): Promise<void> {
    if (this.isStopped || this.options.mode === 'off') return;
    for (const [id, { ear }] of this.subscriptions)
      if (!masters.some((master) => master.id === id)) {
        ear.stop();
        this.subscriptions.delete(id);
      }
    await Promise.all(masters.map((master) => this.listenTo(master)));
    this.isDown = masters.length === 0;
    this.missing = undefined;
    this.tell();
  }

  /** Masters that there are by now: one that nobody listens to is a gap. */
  expect(ids: readonly string[]): void {
    this.missing = ids.find((id) => !this.subscriptions.has(id));
    this.tell();
  }

  /** @throws ServerUnsupportedError in mode `require` when events cannot be had. */
  demand(): void {
    if (this.isStopped || this.options.mode === 'off' || this.isCovered) return;
    if (this.options.mode === 'require')
      throw new ServerUnsupportedError(
        `keyspaceEvents is 'require', but ${this.reason}: set notify-keyspace-events to contain Kx on the server, or use 'auto'.`,
      );
    this.options.logger.warn('expiry events do not arrive: scanning alone', { reason: this.reason });
  }

  /** Never throws. */
  async check(): Promise<void> {
    await Promise.all([...this.subscriptions.values()].map(({ ear }) => ear.check()));
  }

  stop(): void {
    this.isStopped = true;
    for (const { ear } of this.subscriptions.values()) ear.stop();
  }

  private async listenTo(master: EventsMaster): Promise<void> {
    const { mode, onSetUp } = this.options;
    const known = this.subscriptions.get(master.id);
    if (known !== undefined) await known.ear.check();
    else if (mode !== 'off') {
      const onChange = () => this.tell();
      const ear = new ExpirySubscription({ ...this.options, mode, master, onChange });
      this.subscriptions.set(master.id, { name: master.name, ear });
      await ear.start();
    }
    const ear = this.subscriptions.get(master.id)?.ear;
    if (ear !== undefined && !this.isStopped) onSetUp(ear.isCovered);
  }

  private tell(): void {
    const { isCovered } = this;
    // Nobody was told yet that they are: the first news are good ones.
    if (this.isStopped || isCovered === (this.told ?? false)) return;
    this.told = isCovered;
    this.options.onCoverage(isCovered, this.reason);
  }
}
