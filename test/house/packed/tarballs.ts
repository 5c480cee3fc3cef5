import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { publishedPackages, ROOT } from './packages.js';

const run = promisify(execFile);

export interface Tarball {
  /** Folder under `libs/`. */
  readonly lib: string;
  readonly file: string;
  /** Paths inside the package. */
  readonly files: readonly string[];
}

/**
 * Builds and packs every lib, in a copy of the repository: what is packed is what the sources say now, whatever lies in `dist`, and nobody who works
 * in the repository meanwhile sees it change. A `dist` that is there makes the copy's build an incremental one.
 */
export async function packLibs(folder: string): Promise<readonly Tarball[]> {
  const copy = join(folder, 'repository');
  const libs = [...publishedPackages().keys()];
  copyRepository(copy, libs);
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  await execute(process.execPath, [tsc, '-b', ...libs.map((lib) => `libs/${lib}/tsconfig.lib.json`)], copy);
  for (const lib of libs) removeOrphans(join(copy, 'libs', lib));
  const target = join(folder, 'tarballs');
  mkdirSync(target);
  const { stdout } = await npm(['pack', '--workspaces', '--json', '--pack-destination', target], copy);
  const report: unknown = JSON.parse(stdout);
  const packed = Object.values(report as Record<string, PackReport>);
  return packed.map(({ name, filename, files }) => ({
    lib: name.slice(name.indexOf('/') + 1),
    file: join(target, filename.replace('@', '').replace('/', '-')),
    files: files.map(({ path }) => path),
  }));
}

interface PackReport {
  readonly name: string;
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

/** Without what npm tells its scripts about the project they belong to: only where its registry, its cache and its proxies are. */
export async function npm(args: readonly string[], cwd: string): Promise<{ readonly stdout: string }> {
  const kept = /^npm_config_(registry|cache|userconfig|globalconfig|cafile|ca|strict_ssl|.*proxy|noproxy)$/i;
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name) || kept.test(name)),
  );
  return execute('npm', args, cwd, env);
}

/** @throws with all that the program printed: compilers explain themselves on standard output. */
export async function execute(
  file: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ readonly stdout: string }> {
  try {
    return await run(file, args, { cwd, env, maxBuffer: 64 * 1024 * 1024 });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${file} ${args.join(' ')} in ${cwd} failed:\n${stdout}${stderr}`, { cause: error });
  }
}

function copyRepository(copy: string, libs: readonly string[]): void {
  mkdirSync(copy);
  for (const file of ['package.json', 'tsconfig.json', 'LICENSE']) cpSync(join(ROOT, file), join(copy, file));
  for (const lib of libs)
    // Times are kept, since the incremental build asks for them.
    cpSync(join(ROOT, 'libs', lib), join(copy, 'libs', lib), {
      recursive: true,
      preserveTimestamps: true,
      filter: (path) => !path.includes('node_modules'),
    });
  const modules = join(copy, 'node_modules');
  mkdirSync(join(modules, '@nest-baton'), { recursive: true });
  for (const entry of readdirSync(join(ROOT, 'node_modules')))
    if (entry !== '@nest-baton' && !entry.startsWith('.'))
      symlinkSync(join(ROOT, 'node_modules', entry), join(modules, entry));
  for (const lib of libs) symlinkSync(join(copy, 'libs', lib), join(modules, '@nest-baton', lib));
}

/** An incremental build leaves what it made of a source that is gone. */
function removeOrphans(lib: string): void {
  for (const file of readdirSync(join(lib, 'dist'), { recursive: true, encoding: 'utf8' })) {
    const made = /^(.*)(\.js|\.d\.ts)(\.map)?$/.exec(file);
    if (made !== null && !existsSync(join(lib, 'src', `${made[1]}.ts`))) rmSync(join(lib, 'dist', file));
  }
}
