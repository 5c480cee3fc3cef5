import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

export const ROOT = join(import.meta.dirname, '../..');

/** A fenced block of code in a page. */
export interface Block {
  /** From the root of the repository. */
  readonly page: string;
  /** Of the first line of code, from 1. */
  readonly line: number;
  /** What stands behind the fence: `ts`, `sh`, `mermaid`. */
  readonly language: string;
  readonly code: string;
}

/** Every page a user of the repository reads first. */
export function pages(root = ROOT): readonly string[] {
  const own = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md'];
  const ofLibs = readdirSync(join(root, 'libs')).map((lib) => `libs/${lib}/README.md`);
  return [...own, ...ofLibs.toSorted()].filter((page) => existsSync(join(root, page)));
}

/** The blocks of a page, in order. Pure. */
export function blocksOf(page: string, text: string): readonly Block[] {
  const blocks: Block[] = [];
  let open: { readonly language: string; readonly line: number; readonly lines: string[] } | undefined;
  for (const [index, line] of text.split('\n').entries()) {
    const fence = /^\s*```(.*)$/.exec(line);
    if (fence === null) open?.lines.push(line);
    else if (open === undefined) open = { language: (fence[1] ?? '').trim(), line: index + 2, lines: [] };
    else {
      blocks.push({ page, line: open.line, language: open.language, code: open.lines.join('\n') });
      open = undefined;
    }
  }
  return blocks;
}

export function readBlocks(page: string): readonly Block[] {
  return blocksOf(page, readFileSync(join(ROOT, page), 'utf8'));
}

/**
 * What the compiler says of every `ts` block, with the line of the page. A block is a whole program. One that says `ts continued` goes on where the
 * page's block before it ended, as a reader would.
 *
 * The repository's own options and sources are used, one program for all blocks.
 */
export function compileBlocks(blocks: readonly Block[], root = ROOT): readonly string[] {
  const texts = new Map<string, { readonly page: string; readonly text: string }>();
  let previous: { readonly name: string; readonly text: string } | undefined;
  for (const { page, line, language, code } of blocks) {
    const isContinued = language === 'ts continued';
    if (language !== 'ts' && !isContinued) continue;
    const name = join(root, page.replace(/\.md$/, `.${line}.ts`));
    // Blank lines above keep the numbers of the page.
    const above = isContinued ? (previous?.text ?? '') : '';
    const text = above + '\n'.repeat(line - 1 - lineBreaks(above)) + code;
    if (isContinued && previous !== undefined) texts.delete(previous.name);
    texts.set(name, { page, text });
    previous = { name, text: `${text}\n` };
  }
  const options = repositoryOptions(root);
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (file) => texts.has(file) || fileExists(file);
  host.readFile = (file) => texts.get(file)?.text ?? readFile(file);
  host.getSourceFile = (file, languageVersion, ...rest) => {
    const block = texts.get(file);
    if (block !== undefined) return ts.createSourceFile(file, block.text, languageVersion);
    const known = parsed.get(file) ?? getSourceFile(file, languageVersion, ...rest);
    if (known !== undefined) parsed.set(file, known);
    return known;
  };
  const program = ts.createProgram([...texts.keys()], options, host);
  return [...texts].flatMap(([name, { page }]) => {
    const file = program.getSourceFile(name);
    if (file === undefined) return [`${page}: was not read`];
    const found = [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
    return found.map(({ start = 0, messageText }) => {
      const { line } = file.getLineAndCharacterOfPosition(start);
      return `${page}:${line + 1} ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
    });
  });
}

/** Of what the blocks import: the same for every program that is made here. */
const parsed = new Map<string, ts.SourceFile>();

function repositoryOptions(root: string): ts.CompilerOptions {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (file) => ts.sys.readFile(file)) as {
    config: { compilerOptions: object };
  };
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root);
  return { ...options, declaration: false, declarationMap: false };
}

function lineBreaks(text: string): number {
  return text.split('\n').length - 1;
}
