import { existsSync, readFileSync } from 'node:fs';
import { cpus, loadavg, platform, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { MachineSpeed } from '../validity/reference-figure.js';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly os: string;
  readonly node: string;
  /** Load over the last minute when the run began: what else the machine did. */
  readonly loadBefore: number;
  readonly speed: MachineSpeed;
}

export function describeMachine(speed: MachineSpeed, loadBefore: number): Machine {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    os: `${platform()} ${release()}`,
    node: process.versions.node,
    loadBefore,
    speed,
  };
}

export function loadNow(): number {
  return loadavg()[0] ?? 0;
}

/** The folder that holds `bench/`. */
export const ROOT = new URL('../../../', import.meta.url);

/** As installed: in bench, else in the root, else in the root's libs. */
export function versionsOf(packages: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(packages.map((name) => [name, versionOf(name) ?? 'not installed']));
}

export function isInstalledInBench(name: string): boolean {
  return existsSync(manifestOf('bench/', name));
}

function versionOf(name: string): string | undefined {
  for (const home of ['bench/', '']) {
    const manifest = manifestOf(home, name);
    if (!existsSync(manifest)) continue;
    const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { readonly version?: string };
    return version;
  }
  return undefined;
}

function manifestOf(home: string, name: string): string {
  return fileURLToPath(new URL(`${home}node_modules/${name}/package.json`, ROOT));
}
