import fc from 'fast-check';
import { z } from 'zod';
import { protocolOf } from '../protocols/protocol.js';
import { DocumentForm, RefusedDocument } from './document-form.js';

type Settings = Partial<ConstructorParameters<typeof DocumentForm>[0]>;

function formOf(settings: Settings): DocumentForm {
  return new DocumentForm({
    schema: undefined,
    documentId: undefined,
    protocol: protocolOf('bulk', true),
    ...settings,
  });
}

function refusalOf(settings: Settings, doc: unknown): { reason: string; cause: string } {
  try {
    formOf(settings).prepare(doc);
  } catch (error) {
    if (error instanceof RefusedDocument) return { reason: error.reason, cause: String(error.cause) };
    throw error;
  }
  throw new Error('it was expected to be refused');
}

const upper = z.object({ id: z.string().transform((id) => id.toUpperCase()), size: z.number().default(1) });
const documentId = (doc: unknown) => (doc as { id: string }).id;

describe('the form of a document', () => {
  it('is plain JSON where neither schema nor id is asked for', () => {
    const native = formOf({ protocol: protocolOf('native', false) });
    expect([native.isPlain, native.head, native.prepare({ a: 1 })]).toEqual([true, '', { line: '{"a":1}', head: '' }]);
    const bulk = formOf({});
    expect([bulk.isPlain, bulk.prepare({ a: 1 }).head]).toEqual([true, '{"create":{}}\n']);
    expect([formOf({ schema: upper }).isPlain, formOf({ documentId }).isPlain]).toEqual([false, false]);
  });

  it('is checked first, named by what the schema made of it, and that is what is sent', () => {
    expect(formOf({ schema: upper, documentId }).prepare({ id: 'a', more: true })).toEqual({
      head: '{"create":{"_id":"A"}}\n',
      line: '{"id":"A","size":1}',
    });
  });

  it('asks neither id nor JSON of a document that the schema refused', () => {
    const asked: unknown[] = [];
    const settings = { schema: upper, documentId: (doc: unknown) => String(asked.push(doc)) };
    expect(refusalOf(settings, { id: 1, toJSON: () => asked.push('json') })).toEqual({
      reason: 'invalid',
      cause: 'TypeError: the document does not fit the schema: id: Invalid input: expected string, received number',
    });
    expect(asked).toEqual([]);
  });

  it('is refused as encode when the schema makes of it what has no JSON', () => {
    const toText = z.object({}).transform(() => 'text');
    const toNothing = z.object({}).transform(() => undefined);
    expect(refusalOf({ schema: toText }, {})).toMatchObject({
      reason: 'encode',
      cause: expect.stringContaining('object'),
    });
    expect(refusalOf({ schema: toNothing }, {}).reason).toBe('encode');
    expect(refusalOf({ schema: z.any() }, { big: 1n }).reason).toBe('encode');
  });

  it.each([
    ['', 'not empty'],
    ['a\nb', 'control characters'],
    ['\u0085', 'control characters'],
    ['\ud83d', 'halves of characters'],
    ['x'.repeat(513), 'at most 512 bytes, not 513'],
    ['é'.repeat(257), 'at most 512 bytes, not 514'],
    [undefined, 'a text, not undefined'],
    [null, 'a text, not null'],
    [7, 'a text, not number'],
    [Promise.reject(new Error('an async id')), 'not a promise'],
  ])('is refused as encode for the id %p', (id, part) => {
    const { reason, cause } = refusalOf({ documentId: () => id as string }, { id: 1 });
    expect({ reason, cause }).toEqual({ reason: 'encode', cause: expect.stringContaining(part) });
    if (typeof id === 'string' && id.length > 1) expect(cause).not.toContain(id);
  });

  it('takes ids of up to 512 bytes, quotes and all', () => {
    for (const id of ['x'.repeat(512), 'é'.repeat(256), 'run:7"\\', '😀']) {
      const { head } = formOf({ documentId: () => id }).prepare({});
      expect(JSON.parse(head)).toEqual({ create: { _id: id } });
    }
  });

  it('is refused as encode when documentId throws', () => {
    const missing = (doc: unknown) => (doc as { meta: { id: string } }).meta.id;
    expect(refusalOf({ documentId: missing }, { id: 1 })).toMatchObject({ reason: 'encode' });
  });

  it('is one line with one head, or a refusal, whatever is handed in', () => {
    const forms = [formOf({}), formOf({ documentId }), formOf({ schema: z.looseObject({}), documentId: String })];
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withNullPrototype: true }),
        fc.constantFrom(...forms),
        (doc, form) => {
          try {
            const { line, head } = form.prepare(doc);
            expect(line).not.toContain('\n');
            expect(head.split('\n')).toHaveLength(2);
            expect(typeof JSON.parse(line)).toBe('object');
          } catch (error) {
            if (!(error instanceof RefusedDocument)) throw error;
          }
        },
      ),
    );
  });
});
