import fc from 'fast-check';
import { jsonArray, jsonMessages } from './json-messages.js';

const messagesOf = (text: string): readonly string[] => jsonMessages(Buffer.from(text));

describe('jsonMessages', () => {
  it.each([
    ['{"a":[1,2]}', ['{"a":[1,2]}']],
    [' 1.0 ', ['1.0']],
    ['[]', []],
    ['[ \n ]', []],
    ['[1, 2 ,3]', ['1', '2', '3']],
    ['[[1,2],[3,4]]', ['[1,2]', '[3,4]']],
    ['[[[1,2,3]]]', ['[[1,2,3]]']],
    ['[[],{}]', ['[]', '{}']],
    ['["a,]\\"[","\\\\",""]', ['"a,]\\"["', '"\\\\"', '""']],
    ['[9007199254740993]', ['9007199254740993']],
  ])('cuts %s one level deep', (body, messages) => {
    expect(messagesOf(body)).toEqual(messages);
  });

  it('cuts any array into its elements', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue(), { maxLength: 8 }), fc.nat(3), (values, indent) => {
        const messages = messagesOf(JSON.stringify(values, null, indent));
        expect(messages.map((message) => JSON.parse(message) as unknown)).toEqual(
          values.map((value) => JSON.parse(JSON.stringify(value)) as unknown),
        );
        const read = JSON.parse(jsonArray(messages.map((message) => ({ data: Buffer.from(message) })))) as unknown[];
        expect(read).toHaveLength(values.length);
      }),
    );
  });

  it.each(['', '{', '[1,]', '1 2', 'NaN', "{'a':1}"])('refuses %j', (body) => {
    expect(() => messagesOf(body)).toThrow(expect.objectContaining({ status: 400 }));
  });

  it('refuses what is not UTF-8, which would come back as something else', () => {
    expect(() => jsonMessages(Buffer.from([0x22, 0xff, 0x22]))).toThrow(expect.objectContaining({ status: 400 }));
  });
});

describe('jsonArray', () => {
  it('passes over chunks without bytes, which are no messages', () => {
    expect(jsonArray([Buffer.from('1'), Buffer.alloc(0), Buffer.from('2')].map((data) => ({ data })))).toBe('[1,2]');
    expect(jsonArray([])).toBe('[]');
  });
});
