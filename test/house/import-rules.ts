import { posix } from 'node:path';
import ts from 'typescript';

/** A rule over one file. Pure: a path from the root of the repository, its text, and what is wrong with it, a sentence each. */
export type Rule = (file: string, source: string) => string[];

/** The subpaths a package offers in its `exports`, such as `.` and `./health`, by package name. */
export type PublicSubpaths = ReadonlyMap<string, readonly string[]>;

const SCOPE = '@nest-baton/';

/** The only files that read the environment. */
const ENVIRONMENT_READERS: readonly string[] = ['src/app.config.ts', 'libs/testing/src/environment.ts'];

/** `core` imports no lib and no driver: only Node, itself, and the API of OpenTelemetry, which does nothing until an application registers an SDK. */
export const coreImportsNothing: Rule = (file, source) => {
  if (libOf(file) !== 'core' || isSpec(file)) return [];
  return importsOf(file, source)
    .filter(({ from }) => !isRelative(from) && !from.startsWith('node:') && from !== '@opentelemetry/api')
    .map(({ from, line }) => `${file}:${line} imports ${from}: core imports no lib and no driver`);
};

/** A lib imports `core` and its own files, never another lib; its specs may import `testing`. `console` is where libs meet. */
export const libImportsOnlyCore: Rule = (file, source) => {
  const lib = libOf(file);
  if (lib === undefined || lib === 'console') return [];
  const allowed = ['core', ...(isSpec(file) ? ['testing'] : []), lib];
  return importsOf(file, source)
    .filter(({ from }) => from.startsWith(SCOPE) && !allowed.includes(packageFolder(from)))
    .map(
      ({ from, line }) => `${file}:${line} imports ${from}: a lib imports core and its own files, never another lib`,
    );
};

/** What ships imports no `testing`: not the service either. */
export const testingStaysInTests: Rule = (file, source) => {
  if (!file.startsWith('src/') || isSpec(file)) return [];
  return importsOf(file, source)
    .filter(({ from }) => from.startsWith(`${SCOPE}testing`))
    .map(({ from, line }) => `${file}:${line} imports ${from}: nothing that ships imports testing`);
};

/** Inside a lib by relative path, never through an index, neither by the lib's own name nor by `./index.js`. */
export const noOwnIndex: Rule = (file, source) => {
  const lib = libOf(file);
  if (lib === undefined) return [];
  const isOwnIndex = (from: string): boolean =>
    from.startsWith(SCOPE) ? packageFolder(from) === lib : isRelative(from) && isIndex(resolve(file, from));
  return importsOf(file, source)
    .filter(({ from }) => isOwnIndex(from))
    .map(({ from, line }) => `${file}:${line} imports ${from}: inside a lib by relative path, never through an index`);
};

/**
 * A package of ours is imported by what it exports, from everywhere: not its sources, not its build, not by a path that leads into it. Only a
 * lib's own behaviour tests may look inside it, to hold a step or to hand in a resolver that no user can.
 */
export function noDeepImports(offered: PublicSubpaths): Rule {
  const isDeep = (file: string, from: string): boolean => {
    if (isRelative(from)) {
      const target = resolve(file, from);
      const inside = libFolder(target);
      return inside !== undefined && inside !== libFolder(file) && !file.startsWith(`test/${inside}/`);
    }
    if (!from.startsWith(SCOPE)) return false;
    const name = `${SCOPE}${packageFolder(from)}`;
    return !(offered.get(name) ?? []).includes(`.${from.slice(name.length)}`);
  };
  return (file, source) =>
    importsOf(file, source)
      .filter(({ from }) => isDeep(file, from))
      .map(({ from, line }) => `${file}:${line} imports ${from}: a package of ours is imported by what it exports`);
}

/** `process.env` is read where the service is configured and where the testing kit is, and nowhere else. */
export const environmentIsReadOnce: Rule = (file, source) => {
  if (ENVIRONMENT_READERS.includes(file) || isSpec(file)) return [];
  return factsOf(file, source).environmentLines.map(
    (line) => `${file}:${line} reads process.env: only ${ENVIRONMENT_READERS.join(' and ')} may`,
  );
};

/** The clock and chance are arguments: `Date.now()` and `Math.random()` live in core. */
export const clockLivesInCore: Rule = (file, source) => {
  if (libOf(file) === 'core' || isSpec(file)) return [];
  return factsOf(file, source).clockReads.map(
    ({ what, line }) => `${file}:${line} uses ${what}: the clock and chance live in core and are arguments elsewhere`,
  );
};

/** An index is a table of contents: each export by name. */
export const noExportStar: Rule = (file, source) =>
  factsOf(file, source).exportStarLines.map((line) => `${file}:${line} has export *: name each export`);

/** Cycles among `files` (path to text), each told once, from the file that sorts first. */
export function importCycles(files: ReadonlyMap<string, string>): string[] {
  const next = new Map<string, readonly string[]>();
  for (const [file, source] of files) {
    const targets = importsOf(file, source).flatMap(({ from }) => (isRelative(from) ? [resolve(file, from)] : []));
    next.set(file, [...new Set(targets)].filter((target) => files.has(target)).toSorted());
  }
  const found = new Map<string, string>();
  const done = new Set<string>();
  const visit = (file: string, trail: readonly string[]): void => {
    const start = trail.indexOf(file);
    if (start >= 0) {
      const cycle = trail.slice(start);
      const first = cycle.indexOf(cycle.toSorted()[0] ?? '');
      const turned = [...cycle.slice(first), ...cycle.slice(0, first)];
      found.set(turned.join(), `${[...turned, turned[0]].join(' -> ')}: no cycles`);
      return;
    }
    if (done.has(file)) return;
    for (const target of next.get(file) ?? []) visit(target, [...trail, file]);
    done.add(file);
  };
  for (const file of [...files.keys()].toSorted()) visit(file, []);
  return [...found.values()];
}

interface Import {
  readonly from: string;
  readonly line: number;
}

interface Facts {
  readonly imports: readonly Import[];
  readonly exportStarLines: readonly number[];
  readonly environmentLines: readonly number[];
  readonly clockReads: readonly { readonly what: string; readonly line: number }[];
}

const factsByFile = new Map<string, { readonly source: string; readonly facts: Facts }>();

function factsOf(file: string, source: string): Facts {
  const known = factsByFile.get(file);
  if (known?.source === source) return known.facts;
  const facts = readFacts(file, source);
  factsByFile.set(file, { source, facts });
  return facts;
}

function importsOf(file: string, source: string): readonly Import[] {
  return factsOf(file, source).imports;
}

/** From the syntax tree, so that comments and texts that look like code count for nothing. */
function readFacts(file: string, source: string): Facts {
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.Latest, true);
  const facts = {
    imports: [] as Import[],
    exportStarLines: [] as number[],
    environmentLines: [] as number[],
    clockReads: [] as { what: string; line: number }[],
  };
  const lineOf = (node: ts.Node): number => tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1;
  const visit = (node: ts.Node): void => {
    const from = importedFrom(node);
    if (from !== undefined) facts.imports.push({ from, line: lineOf(node) });
    if (ts.isExportDeclaration(node) && (node.exportClause === undefined || ts.isNamespaceExport(node.exportClause)))
      facts.exportStarLines.push(lineOf(node));
    const read = memberRead(node);
    if (read === 'process.env' || from === 'process' || from === 'node:process')
      facts.environmentLines.push(lineOf(node));
    if (read === 'Date.now' || read === 'Math.random') facts.clockReads.push({ what: read, line: lineOf(node) });
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return facts;
}

/** The module that a node imports or exports from, in any of the forms that TypeScript has. */
function importedFrom(node: ts.Node): string | undefined {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return textOf(node.moduleSpecifier);
  if (ts.isExternalModuleReference(node)) return textOf(node.expression);
  if (ts.isImportTypeNode(node)) return ts.isLiteralTypeNode(node.argument) ? textOf(node.argument.literal) : undefined;
  if (!ts.isCallExpression(node)) return undefined;
  const isImport = node.expression.kind === ts.SyntaxKind.ImportKeyword;
  const isRequire = ts.isIdentifier(node.expression) && node.expression.text === 'require';
  return isImport || isRequire ? textOf(node.arguments[0]) : undefined;
}

/** `a.b` for the forms `a.b`, `a?.b`, `a['b']` and `const { b } = a`, also behind `globalThis`. */
function memberRead(node: ts.Node): string | undefined {
  if (ts.isPropertyAccessExpression(node)) return `${lastName(node.expression)}.${node.name.text}`;
  if (ts.isElementAccessExpression(node)) return `${lastName(node.expression)}.${textOf(node.argumentExpression)}`;
  if (!ts.isBindingElement(node) || !ts.isVariableDeclaration(node.parent.parent)) return undefined;
  const { initializer } = node.parent.parent;
  const name = node.propertyName ?? node.name;
  return initializer !== undefined && ts.isIdentifier(name) ? `${lastName(initializer)}.${name.text}` : undefined;
}

function lastName(expression: ts.Expression): string {
  if (ts.isIdentifier(expression)) return expression.text;
  return ts.isPropertyAccessExpression(expression) ? expression.name.text : '';
}

function textOf(node: ts.Node | undefined): string | undefined {
  return node !== undefined && ts.isStringLiteralLike(node) ? node.text : undefined;
}

function isRelative(from: string): boolean {
  return from.startsWith('.');
}

function isSpec(file: string): boolean {
  return file.endsWith('.spec.ts');
}

function isIndex(file: string): boolean {
  return posix.basename(file) === 'index.ts';
}

/** The source file behind a relative import, which names the JavaScript that comes of it. */
function resolve(file: string, from: string): string {
  return posix.join(posix.dirname(file), from).replace(/\.js$/, '.ts');
}

function libOf(file: string): string | undefined {
  return /^libs\/([^/]+)\/src\//.exec(file)?.[1];
}

/** Any path into a lib's folder, its build and its package.json too. */
function libFolder(file: string): string | undefined {
  return /^libs\/([^/]+)\//.exec(file)?.[1];
}

function packageFolder(from: string): string {
  return from.slice(SCOPE.length).split('/')[0] ?? '';
}
