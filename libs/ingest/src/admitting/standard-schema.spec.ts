import { z } from 'zod';
import { conform, isStandardSchema, type StandardSchema } from './standard-schema.js';

/** A schema by hand, whose `validate` does what it is told. */
function schemaThat(validate: (value: unknown) => unknown): StandardSchema {
  return { '~standard': { version: 1, vendor: 'by hand', validate: validate as never } };
}

function causeOf(schema: StandardSchema, doc: unknown): string {
  return (conform(schema, doc) as { readonly cause: Error }).cause.message;
}

const line = z.object({ id: z.string(), size: z.coerce.number().default(1), tags: z.array(z.string()).optional() });

describe('a schema', () => {
  it('gives its output', () => {
    expect(conform(line, { id: 'a', size: '5', more: 1 })).toEqual({ value: { id: 'a', size: 5 } });
  });

  it('names the first issues by path and message', () => {
    expect(causeOf(line, { tags: ['a', 1], size: 'x' })).toBe(
      'the document does not fit the schema: id: Invalid input: expected string, received undefined; ' +
        'size: Invalid input: expected number, received NaN; tags.1: Invalid input: expected string, received number',
    );
    expect(causeOf(line, 'text')).toContain('schema: Invalid input: expected object');
    const many = schemaThat(() => ({ issues: [1, 2, 3, 4, 5].map((n) => ({ message: `no ${n}` })) }));
    expect(causeOf(many, {})).toBe('the document does not fit the schema: no 1; no 2; no 3; and 2 more');
    expect(
      causeOf(
        schemaThat(() => ({ issues: [] })),
        {},
      ),
    ).toBe('the document does not fit the schema');
  });

  it('tells no value, also where the library quotes what it was given', () => {
    const quoting = schemaThat((value) => ({
      issues: [
        {
          message: `must be an address (was ${JSON.stringify((value as { mail: string }).mail)})`,
          path: [{ key: 'mail' }],
        },
        { message: 'Expected at most 3 but received 4711', path: ['count'] },
        { message: 'is s(e.cret and secretive', path: ['word'] },
      ],
    }));
    expect(causeOf(quoting, { mail: 'me@secret', count: 4711, word: 's(e.cret' })).toBe(
      'the document does not fit the schema: mail: must be an address (was …); ' +
        'count: Expected at most 3 but received …; word: is … and secretive',
    );
  });

  it('is cut where its messages are long, and shows symbols and getters that throw no worse than others', () => {
    const doc = {
      get broken() {
        throw new Error('getter');
      },
    };
    const issues = [
      { message: 'x'.repeat(5_000), path: [Symbol('at')] },
      { message: 'no', path: ['broken', 'deeper'] },
    ];
    const cause = causeOf(
      schemaThat(() => ({ issues })),
      doc,
    );
    expect(cause).toContain('Symbol(at): xxx');
    expect(cause).toContain('broken.deeper: no');
    expect(cause.length).toBeLessThan(300);
  });

  it('has refused the document when it throws or gives nothing', () => {
    const thrown = new Error('broken schema');
    const throwing = schemaThat(() => {
      throw thrown;
    });
    expect(conform(throwing, {})).toEqual({ cause: thrown });
    for (const nothing of [undefined, null, true, 'ok'])
      expect(
        causeOf(
          schemaThat(() => nothing),
          {},
        ),
      ).toBe('the schema gave no result');
  });

  it('has refused the document when it answers with a promise, of which nothing is left', async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', listen);
    const late = z.object({ id: z.string().refine(() => Promise.resolve(true)) });
    const throwing = z.object({
      id: z.string().refine(() => {
        throw new Error('in a refinement');
      }),
    });
    const rejecting = schemaThat(() => Promise.reject(new Error('too late')));
    const hostile = schemaThat(() => ({
      then: () => {
        throw new Error('no promise');
      },
    }));
    for (const schema of [late, throwing, rejecting, hostile])
      expect(causeOf(schema, { id: 'a' })).toContain('must be synchronous');
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', listen);
    expect(unhandled).toEqual([]);
  });

  it('is told by its structure, also when it is a function', () => {
    const callable = Object.assign(
      () => undefined,
      schemaThat(() => ({ value: 1 })),
    );
    expect([line, callable].map(isStandardSchema)).toEqual([true, true]);
    const others = [undefined, null, 'text', {}, { '~standard': null }, { '~standard': { version: 1 } }, () => true];
    expect(others.filter(isStandardSchema)).toEqual([]);
  });
});
