import fc from 'fast-check';
import type { DocumentOwner } from '../settling/document-owner.js';
import { TrackedCall } from '../settling/tracked-call.js';
import { OpenBatch } from './open-batch.js';

const signal = new AbortController().signal;
const call = (size = 1): TrackedCall => new TrackedCall(size, signal, undefined);

function add(batch: OpenBatch, line: string, owner?: DocumentOwner, position = 0, head = ''): number {
  return batch.add(head, line, 3 * (head.length + line.length) + 1, owner, position);
}

describe('OpenBatch', () => {
  it('seals its documents with their line breaks and their owners in place, and splits without moving a byte', () => {
    const batch = new OpenBatch(0, () => undefined);
    const owner = call(8);
    expect([add(batch, '{"é":1}'), add(batch, '{"b":2}', owner, 7), add(batch, '{"c":3}')]).toEqual([9, 8, 8]);
    const sealed = batch.seal('auto', false);
    expect(owner.takeOut()).toEqual([]);
    expect(sealed.body.toString()).toBe('{"é":1}\n{"b":2}\n{"c":3}\n');
    const [head, rest] = sealed.split(1);
    expect(sealed.end()).toBe(false);
    expect(head.body.toString()).toBe('{"é":1}\n');
    expect(rest.line(1).toString()).toBe('{"c":3}');
    expect([rest.size, rest.byteLength, rest.owner(0), rest.position(0), rest.owner(1)]).toEqual([
      2,
      16,
      owner,
      7,
      undefined,
    ]);
    expect(() => rest.split(2)).toThrow(RangeError);
  });

  it('grows with what is written', () => {
    const batch = new OpenBatch(0, () => undefined);
    const lines = Array.from({ length: 500 }, (_, i) => `{"text":"${'€'.repeat(i)}"}`);
    for (const line of lines) add(batch, line);
    const text = lines.map((line) => `${line}\n`).join('');
    expect(batch.bytes).toBe(Buffer.byteLength(text));
    expect(batch.seal('auto', false).body.toString()).toBe(text);
  });

  it('keeps what goes before a document apart from it', () => {
    const batch = new OpenBatch(0, () => undefined);
    add(batch, '{"a":1}', undefined, 0, '{"create":{}}\n');
    add(batch, '{"b":2}', undefined, 0, '{"create":{"_id":"é"}}\n');
    const sealed = batch.seal('auto', true);
    expect(sealed.body.toString()).toBe('{"create":{}}\n{"a":1}\n{"create":{"_id":"é"}}\n{"b":2}\n');
    expect([sealed.line(0).toString(), sealed.parse(1)]).toEqual(['{"a":1}', { b: 2 }]);
  });

  it('lets calls be taken out until it is sealed, also after many others were', () => {
    let given = 0;
    const batch = new OpenBatch(0, (docs, bytes) => (given += docs * 1e6 + bytes));
    const kept = [call(), call(2)] as const;
    add(batch, '{"k":0}', kept[0]);
    const gone = Array.from({ length: 3_000 }, () => call());
    for (const one of gone) add(batch, '{"x":1}', one);
    add(batch, '{"k":1}', kept[1], 0);
    add(batch, '{"k":2}', kept[1], 1);
    for (const one of gone) expect(one.takeOut()).toEqual([0]);
    for (const one of gone) expect(one.takeOut()).toEqual([]);
    expect([given, batch.count, batch.bytes, batch.trackedCount]).toEqual([3_000 * 1e6 + 24_000, 3, 24, 3]);
    expect(kept[1].takeOut()).toEqual([0, 1]);
    add(batch, '{"k":3}');
    expect(batch.seal('auto', false).body.toString()).toBe('{"k":0}\n{"k":3}\n');
  });

  it('holds no more memory than its documents need, a quarter aside', () => {
    const batch = new OpenBatch(1_000_000, () => undefined);
    add(batch, '{"a":1}');
    expect(batch.seal('auto', false).body.buffer.byteLength).toBeLessThan(10_000);
  });
});

describe('Batch', () => {
  it('divides into those that are picked and the others, each in order with its owners', () => {
    const batch = new OpenBatch(0, () => undefined);
    const owner = call(6);
    for (let i = 0; i < 6; i++) add(batch, `{"i":${i}}`, i % 3 === 0 ? undefined : owner, i);
    const sealed = batch.seal('wait_for', false);
    sealed.ambiguity = { cause: 'reset' };
    const [odd, even] = sealed.divide((line) => line % 2 === 1);
    expect([odd.body.toString(), even.body.toString()]).toEqual([
      '{"i":1}\n{"i":3}\n{"i":5}\n',
      '{"i":0}\n{"i":2}\n{"i":4}\n',
    ]);
    expect([0, 1, 2].map((line) => [odd.owner(line), odd.position(line)])).toEqual([
      [owner, 1],
      [undefined, 3],
      [owner, 5],
    ]);
    expect([odd.ambiguity, even.ambiguity, odd.origin]).toEqual([sealed.ambiguity, sealed.ambiguity, sealed.origin]);
    expect([sealed.isLive, sealed.end()]).toEqual([false, false]);
    expect(() => odd.divide(() => true)).toThrow(RangeError);
    expect(odd.isLive).toBe(true);
  });
});

describe('OpenBatch, whatever is added and taken out', () => {
  it('seals exactly what is left, in order, each with its owner, and gives back the bytes of the rest', () => {
    const step = fc.oneof(
      fc.record({ lines: fc.array(fc.json(), { minLength: 1, maxLength: 4 }), isTracked: fc.boolean() }),
      fc.record({ takeOut: fc.nat() }),
      // Many at once, so that gaps are closed on the way.
      fc.record({ gone: fc.integer({ min: 1, max: 1_500 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        let given = 0;
        const batch = new OpenBatch(0, (_, bytes) => (given += bytes));
        let kept: { readonly line: string; readonly owner: TrackedCall | undefined; readonly position: number }[] = [];
        let expectedGiven = 0;
        for (const step of steps) {
          if ('lines' in step) {
            const owner = step.isTracked ? call(step.lines.length) : undefined;
            step.lines.forEach((line, position) => {
              add(batch, line, owner, position);
              kept.push({ line, owner, position: owner === undefined ? 0 : position });
            });
          } else if ('gone' in step) {
            const gone = Array.from({ length: step.gone }, () => call());
            for (const one of gone) add(batch, '0', one);
            for (const one of gone) one.takeOut();
            expectedGiven += 2 * step.gone;
          } else {
            const owners = [...new Set(kept.map(({ owner }) => owner).filter((owner) => owner !== undefined))];
            const out = owners[step.takeOut % Math.max(1, owners.length)];
            if (out === undefined) continue;
            const taken = kept.filter(({ owner }) => owner === out);
            expect(out.takeOut()).toEqual(taken.map(({ position }) => position));
            kept = kept.filter(({ owner }) => owner !== out);
            for (const { line } of taken) expectedGiven += Buffer.byteLength(line) + 1;
          }
        }
        const text = kept.map(({ line }) => `${line}\n`).join('');
        expect([batch.count, batch.bytes, given]).toEqual([kept.length, Buffer.byteLength(text), expectedGiven]);
        if (kept.length === 0) return;
        const sealed = batch.seal('auto', false);
        expect(sealed.body.toString()).toBe(text);
        kept.forEach((one, i) => {
          expect(sealed.line(i).toString()).toBe(one.line);
          expect(sealed.owner(i)).toBe(one.owner);
          if (one.owner !== undefined) expect(sealed.position(i)).toBe(one.position);
        });
      }),
    );
  });
});
