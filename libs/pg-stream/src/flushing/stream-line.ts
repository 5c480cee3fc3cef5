import { type CallGroup, groupFirst, type WriteCall, type WriteOwner } from './write-call.js';

/**
 * The calls for one stream, in the order in which they came. At most one group of them is on its way at a time, and keeps its place at the head
 * until it is answered, so nothing overtakes anything.
 */
export class StreamLine {
  /** Lost connections of its group so far. */
  losses = 0;
  /** Something in its data may be what a statement was refused for, so it gets one of its own. */
  isSuspect = false;
  private readonly calls: WriteCall[] = [];
  private group: CallGroup | undefined;

  constructor(readonly stream: string) {}

  get isEmpty(): boolean {
    return this.calls.length === 0;
  }

  add(call: WriteCall): void {
    this.calls.push(call);
  }

  /** The group at the head; the same one until it is answered, since only the same one can be recognised when it is sent again. */
  head(): CallGroup {
    return (this.group ??= groupFirst(this.calls));
  }

  /** The head is to be made anew, of calls that share it with no other. */
  splitHead(): void {
    for (const call of this.group?.calls ?? []) call.isAlone = true;
    this.group = undefined;
    this.isSuspect = true;
  }

  /** Takes the head's calls off the line: they are answered. */
  shift(): readonly WriteCall[] {
    const { length } = this.head().calls;
    this.group = undefined;
    this.losses = 0;
    this.isSuspect = false;
    return this.calls.splice(0, length);
  }

  /** Takes off the line what waits behind for one of the owners. */
  removeOwnedBy(owners: ReadonlyMap<WriteOwner, unknown>): readonly WriteCall[] {
    const removed: WriteCall[] = [];
    const kept = this.calls.filter((call) => {
      const isOwned = call.owner !== undefined && owners.has(call.owner);
      if (isOwned) removed.push(call);
      return !isOwned;
    });
    if (removed.length > 0) this.calls.splice(0, this.calls.length, ...kept);
    return removed;
  }
}
