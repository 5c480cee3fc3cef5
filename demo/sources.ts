import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { linesOf } from '../src/runs/working/run-lines.js';

/** A real text file that becomes the input of a run. */
export interface Source {
  readonly name: string;
  readonly text: string;
  readonly bytes: number;
  readonly lines: number;
  readonly sha256: string;
}

/** Long enough to be caught in the middle, short enough to end within the demo. */
const LINES = { min: 40, max: 120 } as const;
const MAX_BYTES = 64 * 1024;

/**
 * `count` sources: the files at `paths`, over and over, or READMEs and licences of the installed dependencies, among them files with carriage
 * returns and without a final newline where there are any.
 *
 * @throws Error when a path cannot be read, or is not UTF-8: the service takes text as JSON.
 */
export async function findSources(paths: readonly string[], count: number, root: string): Promise<readonly Source[]> {
  const found =
    paths.length > 0 ? await Promise.all(paths.map((path) => readSource(path, path))) : await installed(root);
  if (found.length === 0)
    throw new Error('No READMEs or licences found in node_modules: run npm ci first, or name files.');
  return Array.from({ length: count }, (_, i) => found[i % found.length] as Source);
}

async function readSource(path: string, name: string): Promise<Source> {
  const data = await readFile(path);
  const text = data.toString('utf8');
  if (!Buffer.from(text, 'utf8').equals(data)) throw new Error(`${path} is not UTF-8 text.`);
  return {
    name,
    text,
    bytes: data.length,
    lines: [...linesOf(data)].length,
    sha256: createHash('sha256').update(data).digest('hex'),
  };
}

async function installed(root: string): Promise<readonly Source[]> {
  const sources: Source[] = [];
  for (const folder of await packageFolders(join(root, 'node_modules'))) {
    const files = (await readdir(folder)).filter((file) => /^(readme|licen[sc]e)(\.|$)/i.test(file));
    for (const file of files) {
      const path = join(folder, file);
      const { size } = await stat(path);
      if (size === 0 || size > MAX_BYTES) continue;
      const source = await readSource(path, `${basename(folder)}/${file}`).catch(() => undefined);
      if (source !== undefined && source.lines >= LINES.min && source.lines <= LINES.max) sources.push(source);
    }
  }
  return awkwardFirst(sources);
}

async function packageFolders(modules: string): Promise<readonly string[]> {
  const entries = await readdir(modules, { withFileTypes: true }).catch(() => []);
  const folders: string[] = [];
  for (const { name } of entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))) {
    const path = join(modules, name);
    folders.push(...(name.startsWith('@') ? await packageFolders(path) : [path]));
  }
  return folders.sort();
}

/** Two with carriage returns and two without a final newline lead; of files with the same content one stays. */
function awkwardFirst(sources: readonly Source[]): readonly Source[] {
  const distinct = [...new Map(sources.map((source) => [source.sha256, source])).values()];
  const lead = [
    ...distinct.filter(({ text }) => text.includes('\r')).slice(0, 2),
    ...distinct.filter(({ text }) => !text.endsWith('\n')).slice(0, 2),
  ];
  return [...new Set([...lead, ...distinct])];
}
