import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
const PAGE = readFileSync(join(ROOT, 'test/COVERAGE.md'), 'utf8');

const STATES = ['covered', 'open', 'why not'] as const;

interface Line {
  readonly list: string;
  readonly name: string;
  readonly shownBy: string;
  readonly state: (typeof STATES)[number];
}

function cellsOf(row: string): string[] {
  return row
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
}

/** Rows of the tables of `markdown`, without heads and rules. */
function rowsOf(markdown: string): string[][] {
  const rows = markdown.split('\n').filter((line) => line.startsWith('|'));
  return rows.slice(2).map(cellsOf);
}

/** The first part is the introduction, with the counts; each further one is a list. */
function linesOf(page: string): Line[] {
  return page
    .split(/^## /m)
    .slice(1)
    .flatMap((part) => {
      const list = part.slice(0, part.indexOf('\n'));
      return rowsOf(part).map(([name = '', , shownBy = '']) => {
        const state = STATES.find((one) => shownBy.startsWith(`${one}: `)) ?? 'covered';
        return { list, name, shownBy, state };
      });
    });
}

/** Each list with the number of its lines, and of those in each state; then the sums. */
function countsOf(lines: readonly Line[]): string[][] {
  const count = (title: string, some: readonly Line[]) => [
    title,
    ...[some.length, ...STATES.map((state) => some.filter((line) => line.state === state).length)].map(String),
  ];
  const lists = [...new Set(lines.map(({ list }) => list))];
  return [
    ...lists.map((list) =>
      count(
        list,
        lines.filter((line) => line.list === list),
      ),
    ),
    count('all', lines),
  ];
}

/** A path counts from the root where there is such a file, else from `test/`. */
function textAt(path: string): string | undefined {
  const found = [join(ROOT, 'test', path), join(ROOT, path)].find((file) => existsSync(file));
  return found === undefined ? undefined : readFileSync(found, 'utf8');
}

/** What is wrong with what a line names: a file, then titles in it, then perhaps another file. */
function problemsOf({ list, name, shownBy, state }: Line): string[] {
  const problems: string[] = [];
  const say = (what: string): void => void problems.push(`${list}, ${name}: ${what}`);
  let file: { readonly path: string; readonly text: string } | undefined;
  let titles = 0;
  for (const [, path, title = ''] of shownBy.matchAll(/`([^`]+\.spec\.ts)`|"([^"]+)"/g)) {
    if (path !== undefined) {
      const text = textAt(path);
      file = { path, text: text ?? '' };
      if (text === undefined) say(`there is no ${path}`);
    } else if (file?.text.includes(title) === true) titles++;
    else say(`no test of ${file?.path ?? 'no file'} is called ${title}`);
  }
  if (state === 'covered' && titles === 0) say('it names no test');
  return problems;
}

describe('the map of what the tests cover', () => {
  const lines = linesOf(PAGE);

  it('names files that exist, and titles that stand in them', () => {
    expect(lines.length).toBeGreaterThan(500);
    expect(lines.flatMap(problemsOf)).toEqual([]);
  });

  it('counts what stands in its tables', () => {
    expect(rowsOf(PAGE.slice(0, PAGE.indexOf('\n## ')))).toEqual(countsOf(lines));
  });

  it('has no line twice in a list', () => {
    const names = lines.map(({ list, name }) => `${list}: ${name}`);
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  });

  it.each([
    ['`house/nowhere.spec.ts` "counts what stands"', 'a, b: there is no house/nowhere.spec.ts'],
    ['`house/coverage-map.spec.ts` "no such title, really', 'a, b: it names no test'],
    ['open: later; `house/lint-rules.spec.ts` "no such title"', 'called no such title'],
  ])('is not believed when it says %s', (shownBy, problem) => {
    const [line] = linesOf(`\n## a\n\n| line | asks for | shown by |\n| --- | --- | --- |\n| b | c | ${shownBy} |\n`);
    expect(problemsOf(line as Line)).toContainEqual(expect.stringContaining(problem));
  });
});
