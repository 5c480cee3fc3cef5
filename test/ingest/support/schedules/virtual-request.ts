import type { VirtualTimer } from '@nest-baton/testing';

/** What a document says about itself. */
export interface VirtualDocument {
  readonly uid: number;
  readonly kind?: 'poison' | 'bad';
}

/** A request as the dispatcher got it. */
export interface VirtualRequest {
  readonly number: number;
  readonly docs: readonly VirtualDocument[];
  readonly bytes: number;
  readonly commit: string | null;
  readonly isDetailed: boolean;
  readonly dispatchedAtMs: number;
}

/** What an exchange asks of the server that it is with. */
export interface ExchangeHost {
  later(ms: number, run: () => void): VirtualTimer;
  cancel(timer: VirtualTimer | undefined): void;
  started(request: VirtualRequest): void;
  ended(request: VirtualRequest, isAmbiguous: boolean): void;
  keep(docs: readonly VirtualDocument[]): void;
  paused(ms: number): void;
  violation(what: string): void;
}
