import { posix } from 'node:path';
import ts from 'typescript';

/** Path from the root of the repository to text, of everything that people write. */
export type Tree = ReadonlyMap<string, string>;

/** A rule over the whole tree: what is wrong with it, a sentence each, beginning with the place and ending with the rule. */
export type HouseRule = (tree: Tree) => readonly string[];

const MOST_FILES = 10;
const MOST_MODULE_LINES = 100;
const KINDS = ['interfaces', 'types', 'utils', 'helpers', 'classes'];
/** What every lib with a Nest module has in its root, after the lib's name. */
const ANATOMY = ['errors', 'events', 'health', 'metrics', 'module', 'module-definition', 'options', 'service'];

/** Says what became of the documents, since its class is the one that callers meet first. */
const NAMED_CODES: Readonly<Record<string, string>> = { IngestError: 'INGEST_DISCARDED' };

/** Specs are not counted: each stands beside what it tests. */
export const smallFolders: HouseRule = (tree) => {
  const counts = new Map<string, number>();
  for (const folder of [...tree.keys()].filter(isSource).map((file) => posix.dirname(file)))
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  return [...counts]
    .filter(([, count]) => count > MOST_FILES)
    .map(
      ([folder, count]) => `${folder} has ${count} source files: a folder has at most ten source files, specs aside`,
    );
};

export const foldersByResponsibility: HouseRule = (tree) => {
  const folders = new Set([...tree.keys()].filter(isTypeScript).flatMap((file) => ancestors(posix.dirname(file))));
  return [...folders]
    .filter((folder) => KINDS.includes(posix.basename(folder)))
    .map((folder) => `${folder}: a folder is named by its responsibility, never by a kind (${KINDS.join(', ')})`);
};

/** Lower case, hyphens, and a dotted role where there is one. */
export const kebabCase: HouseRule = (tree) =>
  [...tree.keys()]
    .filter(
      (file) =>
        isTypeScript(file) && !/^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z]+(-[a-z]+)*){0,2}\.ts$/.test(posix.basename(file)),
    )
    .map((file) => `${file}: files are named in kebab-case, with a dotted role where Nest has one`);

/** An index is a table of contents of named exports, and only a lib has one. */
export const namedExports: HouseRule = (tree) =>
  indexes(tree).flatMap(([file, text]) => {
    if (!/^libs\/[^/]+\/src\/index\.ts$/.test(file))
      return [`${file}: an index names each export by hand, and only the root of a lib has one`];
    const isNamed = (node: ts.Statement): boolean =>
      ts.isExportDeclaration(node) &&
      node.moduleSpecifier !== undefined &&
      node.exportClause !== undefined &&
      ts.isNamedExports(node.exportClause);
    return parsed(file, text)
      .statements.filter((statement) => !isNamed(statement))
      .map((statement) => `${file}:${lineOf(statement)}: an index names each export by hand, and does nothing else`);
  });

/** `tree` is asked for the libs that have a module: those have all of it, under the lib's name. */
export const oneAnatomy: HouseRule = (tree) =>
  [...tree.keys()].flatMap((file) => {
    const [, root, lib] = /^(libs\/([^/]+)\/src)\/\2\.module\.ts$/.exec(file) ?? [];
    if (lib === undefined || root === undefined) return [];
    return ANATOMY.map((role) => `${root}/${lib}.${role}.ts`)
      .filter((wanted) => !tree.has(wanted))
      .map((wanted) => `${wanted} is missing: every lib with a module has the same anatomy`);
  });

/** Over all libs: whoever sees a code alone, in a log or in JSON, knows the class. */
export const errorCodes: HouseRule = (tree) => {
  const taken = new Map<string, string>();
  return [...tree]
    .filter(([file]) => /^libs\/[^/]+\/src\//.test(file) && isSource(file))
    .flatMap(([file, text]) => (text.includes('extends BatonError') ? errorsIn(file, text) : []))
    .flatMap(({ place, name, code }) => {
      const wanted = NAMED_CODES[name] ?? codeOf(name);
      const before = taken.get(code) ?? place;
      taken.set(code, before);
      const problems = [
        ...(code === wanted ? [] : [`${name} has the code '${code}'`]),
        ...(before === place ? [] : [`'${code}' is taken in ${before}`]),
      ];
      return problems.map((problem) => `${place}: ${problem}; error codes are unique, and say the name of their class`);
    });
};

export const modulesAreWiring: HouseRule = (tree) =>
  [...tree]
    .filter(([file, text]) => file.endsWith('.module.ts') && text.split('\n').length > MOST_MODULE_LINES)
    .map(([file]) => `${file}: a module is wiring, under ${MOST_MODULE_LINES} lines`);

export const nothingLeftToDo: HouseRule = (tree) =>
  linesWith(tree, /\b(TODO|FIXME|XXX|HACK)\b/, (file) => isTypeScript(file) || /\.(mjs|ya?ml|sh)$/.test(file)).map(
    (place) => `${place}: what is not done is left out, or an issue; no notes to ourselves`,
  );

export const lintStaysOn: HouseRule = (tree) =>
  linesWith(tree, /eslint-disable(?!-next-line [a-z@])|@ts-(ignore|nocheck)\b/, isTypeScript).map(
    (place) => `${place}: checks are not switched off, but for one rule on the next line`,
  );

/** `it.skip`, `describe.only`, `test.todo`, `xit`, `fdescribe`, in any form that calls or names them. */
export const everyTestRuns: HouseRule = (tree) =>
  [...tree]
    .filter(([file]) => file.endsWith('.spec.ts'))
    .flatMap(([file, text]) => {
      const found: string[] = [];
      const visit = (node: ts.Node): void => {
        const isMember =
          ts.isPropertyAccessExpression(node) &&
          /^(it|test|describe)$/.test(node.expression.getText()) &&
          /^(skip|only|todo|failing)$/.test(node.name.text);
        const isShort = ts.isIdentifier(node) && /^[xf](it|test|describe)$/.test(node.text);
        if (isMember || isShort)
          found.push(`${file}:${lineOf(node)} has ${node.getText()}: every test runs, in every run`);
        ts.forEachChild(node, visit);
      };
      visit(parsed(file, text));
      return found;
    });

/** Where packages come from is npm's own configuration, of each machine. */
export const noRegistry: HouseRule = (tree) =>
  [
    ...linesWith(tree, /"resolved": "https?:/, (file) => posix.basename(file) === 'package-lock.json'),
    ...linesWith(tree, /^\s*(@.*:)?registry\s*=/, (file) => posix.basename(file) === '.npmrc'),
    ...linesWith(tree, /--registry[ =]|npm_config_registry=/, (file) => !file.endsWith('.ts')),
  ].map((place) => `${place}: no registry is named, that is npm's own configuration`);

/** One version for all packages, wherever it is written down. */
export const lockStep: HouseRule = (tree) => {
  const versionIn = (file: string): string | undefined => /"version": "([^"]+)"/.exec(tree.get(file) ?? '')?.[1];
  const version = versionIn('package.json');
  return [...tree].flatMap(([file, text]) => {
    const written = /^libs\/[^/]+\/package\.json$/.test(file)
      ? [
          versionIn(file),
          ...[...text.matchAll(/"@nest-baton\/(?!source")[^"]+": "([^"]+)"/g)].map(([, range]) => range),
        ]
      : file.endsWith('.metrics.ts')
        ? [/\bversion: '([^']+)'/.exec(text)?.[1]]
        : [];
    return written
      .filter((found) => found !== version)
      .map((found) => `${file} says ${found}: all packages have one version, ${version}`);
  });
};

function errorsIn(file: string, text: string) {
  const errors: { readonly place: string; readonly name: string; readonly code: string }[] = [];
  const visit = (node: ts.Node): void => {
    if (
      ts.isClassDeclaration(node) &&
      node.heritageClauses?.some((clause) => /\bBatonError\b/.test(clause.getText()))
    ) {
      const code = node.members.find((member) => ts.isPropertyDeclaration(member) && member.name.getText() === 'code');
      const value = code !== undefined && ts.isPropertyDeclaration(code) ? code.initializer : undefined;
      errors.push({
        place: `${file}:${lineOf(node)}`,
        name: node.name?.text ?? '',
        code: value !== undefined && ts.isStringLiteral(value) ? value.text : '',
      });
    }
    ts.forEachChild(node, visit);
  };
  visit(parsed(file, text));
  return errors;
}

/** `GoneAwayError` has GONE_AWAY; a name that does not end so has none that is right. */
function codeOf(name: string): string | undefined {
  const [, words] = /^(\w+)Error$/.exec(name) ?? [];
  return words?.replace(/(?<=[a-z0-9])(?=[A-Z])/g, '_').toUpperCase();
}

function linesWith(tree: Tree, pattern: RegExp, isRead: (file: string) => boolean): readonly string[] {
  return [...tree]
    .filter(([file]) => isRead(file) && !file.startsWith('test/house/'))
    .flatMap(([file, text]) =>
      text.split('\n').flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}`] : [])),
    );
}

function indexes(tree: Tree): readonly (readonly [string, string])[] {
  return [...tree].filter(([file]) => posix.basename(file) === 'index.ts' && /^(libs|src|demo)\//.test(file));
}

function ancestors(folder: string): readonly string[] {
  return folder === '.' ? [] : [folder, ...ancestors(posix.dirname(folder))];
}

function isTypeScript(file: string): boolean {
  return file.endsWith('.ts');
}

function isSource(file: string): boolean {
  return isTypeScript(file) && !file.endsWith('.spec.ts');
}

function parsed(file: string, text: string): ts.SourceFile {
  return ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
}

function lineOf(node: ts.Node): number {
  const tree = node.getSourceFile();
  return tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1;
}
