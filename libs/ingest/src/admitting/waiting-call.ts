import type { DocumentOwner, UnsentPlace } from '../settling/document-owner.js';

/** A document for which there is no room yet, encoded. */
export interface WaitingDocument {
  readonly head: string;
  readonly line: string;
  /** Of both, with the line break. */
  readonly bytes: number;
  readonly owner: DocumentOwner | undefined;
  readonly position: number;
}

/** The documents of one call for which there is no room yet, in order. */
export class WaitingCall implements UnsentPlace {
  readonly isQueue = true;
  /** Resolves when none of them waits any more. */
  readonly admitted: Promise<void>;
  /** What has been let in leaves a gap, so that its text can be forgotten. */
  private documents: (WaitingDocument | undefined)[] = [];
  private next = 0;
  private hasEnded = false;
  private resolve: () => void = () => undefined;

  /** @param onTakenOut told what an abort took out. */
  constructor(
    readonly arrivedAtMs: number,
    readonly generation: number,
    private readonly onTakenOut: (call: WaitingCall, docs: number, bytes: number) => void,
  ) {
    this.admitted = new Promise((resolve) => (this.resolve = resolve));
  }

  /** It is in no queue any more: whatever comes later of the same call waits in another one. */
  get isOver(): boolean {
    return this.hasEnded;
  }

  add(document: WaitingDocument): void {
    if (this.documents.length === 0 && document.owner?.canAbort === true) document.owner.isPut(this, 0);
    this.documents.push(document);
  }

  /** The next document, or `undefined` when none waits any more. */
  peek(): WaitingDocument | undefined {
    return this.documents[this.next];
  }

  /** Past the document that `peek` showed. */
  advance(): void {
    this.documents[this.next++] = undefined;
  }

  /** All of them are one owner's. */
  takeOut(): readonly number[] {
    const taken = this.documents.slice(this.next).filter((document) => document !== undefined);
    this.end();
    const bytes = taken.reduce((sum, document) => sum + document.bytes, 0);
    if (taken.length > 0) this.onTakenOut(this, taken.length, bytes);
    return taken.map(({ position }) => position);
  }

  end(): void {
    this.hasEnded = true;
    this.documents = [];
    this.next = 0;
    this.resolve();
  }
}
