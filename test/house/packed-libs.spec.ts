import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, posix } from 'node:path';
import { randomToken } from '@nest-baton/core';
import {
  type FreshDatabase,
  FakeQuickwit,
  freshDatabase,
  sharedRedisUrl,
  startProcess,
  WebhookReceiver,
} from '@nest-baton/testing';
import ts from 'typescript';
import {
  applicationAlone,
  compileApplications,
  type Extent,
  installEverything,
  type NestMajor,
} from './packed/alone.js';
import { declaredPackages, type PackageManifest, publishedPackages, readManifest } from './packed/packages.js';
import { packLibs, type Tarball } from './packed/tarballs.js';

const MAJORS: readonly NestMajor[] = [12, 11];
const LIBS = [...publishedPackages().keys()];
const hasHealth = (lib: string): boolean => './health' in (publishedPackages().get(lib) as PackageManifest).exports;

const folder = mkdtempSync(join(tmpdir(), 'baton-packed-'));
const applicationOf = (nest: NestMajor, lib: string, extent: Extent) =>
  join(folder, `nest-${nest}`, `${lib}-${extent}`);
const installationOf = (nest: NestMajor) => join(folder, `installed-${nest}`);

let tarballs: readonly Tarball[];
let complaints: readonly (readonly string[])[];
let sink: FakeQuickwit;
let receiver: WebhookReceiver;
const databases: FreshDatabase[] = [];

beforeAll(async () => {
  tarballs = await packLibs(folder);
  complaints = await Promise.all(
    MAJORS.map(async (nest) => {
      const installed = await installEverything(installationOf(nest), nest, tarballs);
      for (const lib of LIBS) {
        applicationAlone(applicationOf(nest, lib, 'required'), installed, lib, 'required');
        if (hasHealth(lib)) applicationAlone(applicationOf(nest, lib, 'all'), installed, lib, 'all');
      }
      return compileApplications(join(folder, `nest-${nest}`), installed);
    }),
  );
  [sink, receiver] = await Promise.all([FakeQuickwit.start(), WebhookReceiver.start()]);
}, 300_000);

afterAll(async () => {
  await Promise.all([sink?.stop(), receiver?.stop(), ...databases.map((database) => database.drop())]);
  rmSync(folder, { recursive: true, force: true });
});

describe.each(LIBS)('the tarball of %s', (lib) => {
  const filesOf = () => tarballs.find((tarball) => tarball.lib === lib)?.files ?? [];
  const inside = (path: string) => join(installationOf(12), 'node_modules/@nest-baton', lib, path);

  it('holds the build, its types, the sources of its maps, a README and the licence, and nothing else', () => {
    const files = filesOf();
    expect(files).toEqual(
      expect.arrayContaining(['LICENSE', 'README.md', 'package.json', 'dist/index.js', 'dist/index.d.ts']),
    );
    const isExpected = /^(LICENSE|README\.md|package\.json|dist\/.*\.(js|d\.ts)(\.map)?|src\/.*\.ts)$/;
    expect(files.filter((file) => !isExpected.test(file) || file.includes('.spec.'))).toEqual([]);
    for (const map of files.filter((file) => file.endsWith('.map'))) {
      const { sources } = JSON.parse(readFileSync(inside(map), 'utf8')) as { sources: string[] };
      for (const source of sources) expect(files).toContain(posix.join(posix.dirname(map), source));
    }
  });

  it('has every file that its exports name, with types for each', () => {
    const { exports } = readManifest(inside('.'));
    for (const [subpath, target] of Object.entries(exports)) {
      const targets = typeof target === 'string' ? [target] : Object.values(target);
      for (const path of targets) expect([subpath, existsSync(inside(path))]).toEqual([subpath, true]);
      if (typeof target !== 'string') expect(Object.keys(target)).toEqual(['@nest-baton/source', 'types', 'default']);
    }
  });

  it('imports only what its package.json declares, and brings no dependency that it does not import', () => {
    const manifest = readManifest(inside('.'));
    const imported = new Set(
      filesOf()
        .filter((file) => /^dist\/.*\.(js|d\.ts)$/.test(file))
        .flatMap((file) => ts.preProcessFile(readFileSync(inside(file), 'utf8'), true, true).importedFiles)
        .map(({ fileName }) => fileName)
        .filter((name) => !name.startsWith('.') && !name.startsWith('node:'))
        .map((name) => name.split('/', name.startsWith('@') ? 2 : 1).join('/')),
    );
    const declared = declaredPackages(manifest, 'all');
    expect([...imported].filter((name) => !declared.includes(name))).toEqual([]);
    expect(Object.keys(manifest.dependencies ?? {}).filter((name) => !imported.has(name))).toEqual([]);
  });
});

describe.each(MAJORS)('alone in an empty Nest %i application', (nest) => {
  it('the types of every lib check, from ESM and from CommonJS, without skipLibCheck', () => {
    expect(complaints[MAJORS.indexOf(nest)]).toEqual([]);
  });

  const cases = LIBS.flatMap((lib): (readonly [string, Extent, readonly string[]])[] =>
    hasHealth(lib)
      ? [
          [lib, 'required', ['app.mjs']],
          [lib, 'all', ['app.mjs', 'app.cjs']],
        ]
      : [[lib, 'required', ['app.mjs', 'app.cjs']]],
  );

  it.each(cases)('%s with %s of what it asks for does its work and ends: %j', async (lib, extent, programs) => {
    const runs = programs.map(async (program) => {
      const database = await freshDatabase();
      databases.push(database);
      const backends = {
        databaseUrl: database.url,
        redisUrl: sharedRedisUrl(),
        quickwitUrl: sink.url,
        receiverUrl: receiver.url,
        service: `packed-${randomToken(8)}`,
      };
      const entry = join(applicationOf(nest, lib, extent), 'app', program);
      const child = await startProcess({ entry, args: [JSON.stringify(backends)], cwd: folder });
      const { code } = await child.exited;
      expect({ program, code, lines: child.lines }).toEqual({ program, code: 0, lines: ['done'] });
    });
    await Promise.all(runs);
  });
});
