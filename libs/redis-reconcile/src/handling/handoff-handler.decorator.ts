import { SetMetadata } from '@nestjs/common';
import type { Handoff } from './handoff.js';

/** Of hand-offs at a time, in one process. */
export const MAX_CONCURRENCY = 10_000;

export interface HandoffHandlerOptions {
  /** Hand-offs that this process works on at a time. Default 10. */
  readonly concurrency?: number;
}

/** What a class under `@HandoffHandler` implements. */
export interface HandoffWorker<Info = unknown> {
  /** Resolves: the work is done. Throws: back with it, after a back-off (`throw new NackError({ delay })` names its length). */
  handle(handoff: Handoff<Info>): Promise<void>;
  /** The hand-off was given up. At least once, with a fence above that of every owner. Throws: called again later. */
  onDeadLetter?(handoff: Handoff<Info>, reason: string): Promise<void>;
}

export interface HandoffHandlerMetadata extends HandoffHandlerOptions {
  readonly instance: string;
}

export const HANDOFF_HANDLER_METADATA = Symbol('baton:redis-reconcile:handler');

/** Marks a provider as the worker of an instance. At most one worker for an instance in a process. */
export function HandoffHandler(instance = 'default', options: HandoffHandlerOptions = {}): ClassDecorator {
  return SetMetadata<symbol, HandoffHandlerMetadata>(HANDOFF_HANDLER_METADATA, { instance, ...options });
}
