import { ScriptBook } from './script.js';

interface Step {
  readonly name: string;
}

const step = (name: string): Step => ({ name });

describe('ScriptBook', () => {
  const take = (book: ScriptBook<number, Step>, ...requests: number[]) =>
    requests.map((request) => book.next(request)?.name);

  it('has nothing special for anybody at first', () => {
    expect(take(new ScriptBook<number, Step>(), 1, 2)).toEqual([undefined, undefined]);
  });

  it('gives one step to all, a list to the next ones, and asks a function with the number of the request', () => {
    const book = new ScriptBook<number, Step>();
    book.set(step('all'));
    expect(take(book, 1, 2)).toEqual(['all', 'all']);
    book.set([step('first'), undefined, step('third')]);
    expect(take(book, 1, 2, 3, 4)).toEqual(['first', undefined, 'third', undefined]);
    book.set((request, nth) => (nth === 2 ? step(`${request}`) : undefined));
    expect(take(book, 7, 8, 9)).toEqual([undefined, '8', undefined]);
  });

  it('asks scripts for some requests first, in the order in which they came, each with a count of its own', () => {
    const book = new ScriptBook<number, Step>();
    book.set((_request, nth) => step(`rest ${nth}`));
    book.add(
      (request) => request % 2 === 0,
      (_request, nth) => (nth === 1 ? step('even 1') : undefined),
    );
    const remove = book.add(
      (request) => request > 2,
      (_request, nth) => step(`large ${nth}`),
    );
    expect(take(book, 1, 2, 2, 3, 4)).toEqual(['rest 1', 'even 1', 'rest 2', 'large 1', 'large 2']);
    remove();
    expect(take(book, 3)).toEqual(['rest 3']);
  });

  it('forgets all scripts at once', () => {
    const book = new ScriptBook<number, Step>();
    book.set(step('all'));
    book.add(() => true, step('some'));
    book.clear();
    expect(take(book, 1)).toEqual([undefined]);
  });
});
