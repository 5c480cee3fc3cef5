import { decodeCount } from '../producing/handoff-entry.js';
import type { DeadLetter } from './dead-letter.js';

export type DeadEntry = readonly [id: string, fields: readonly string[]];

/** Pure. */
export function toDeadLetter(id: string, flat: readonly string[], isHandled: boolean): DeadLetter {
  const fields: Record<string, string> = {};
  for (let i = 0; i < flat.length; i += 2) fields[flat[i] ?? ''] ??= flat[i + 1] ?? '';
  const isPoison = fields['poison'] === '1';
  return {
    handoffId: fields['id'] ?? id,
    dataStream: isPoison ? '' : (fields['stream'] ?? ''),
    info: isPoison ? undefined : parseInfo(fields['info']),
    reason: fields['reason'] ?? '',
    attempts: decodeCount(fields['attempts']),
    fence: Number(fields['fence'] ?? 0),
    lastOwner: fields['owner'] ?? '',
    lastError: fields['error'] ?? '',
    deadAt: new Date(Number(fields['dead'] ?? 0)),
    // Told before it came here from another partition.
    isHandled: isHandled || isPoison || fields['told'] === '1',
  };
}

/** Stream ids, as the server orders them. Pure. */
export function compareIds(a: string, b: string): number {
  const [[aMs, aSeq], [bMs, bSeq]] = [a.split('-'), b.split('-')];
  return Number(aMs) - Number(bMs) || Number(aSeq) - Number(bSeq);
}

/** Whoever put the entry there checked it; an entry that somebody else wrote is shown without what cannot be read. */
function parseInfo(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
