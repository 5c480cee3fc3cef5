import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Linter } from 'eslint';
import tseslint from 'typescript-eslint';
import { EXAMPLES } from './import-examples.js';

const ROOT = join(import.meta.dirname, '../..');

/** What the editor would underline: the import rules of eslint.config.mjs, with everything that asks for types left out. */
async function importRulesOfLint(): Promise<(file: string, source: string) => string[]> {
  const config = (await import(pathToFileURL(join(ROOT, 'eslint.config.mjs')).href)) as { default: Linter.Config[] };
  const withoutTypes = [...config.default, tseslint.configs.disableTypeChecked as Linter.Config];
  const linter = new Linter({ cwd: ROOT });
  return (file, source) => {
    const messages = linter.verify(source, withoutTypes, { filename: join(ROOT, file) });
    const fatal = messages.find((message) => message.fatal);
    if (fatal !== undefined) throw new Error(`${file} could not be read: ${fatal.message}`);
    return messages.filter(({ ruleId }) => ruleId === 'no-restricted-syntax').map(({ message }) => message);
  };
}

let lint: (file: string, source: string) => string[];

beforeAll(async () => {
  lint = await importRulesOfLint();
});

describe.each(EXAMPLES)('lint knows the rule "%s"', (_name, rule, examples) => {
  it.each(examples)('in %s it says of `%s` what the test says', (file, source, isBroken) => {
    const sentences = rule(file, source).map((sentence) => sentence.slice(sentence.indexOf(': ') + 2));
    expect(sentences).toHaveLength(isBroken ? 1 : 0);
    const shown = new Set(lint(file, source));
    if (isBroken) expect([...shown]).toEqual(expect.arrayContaining(sentences));
    else expect([...shown]).toEqual([]);
  });
});
