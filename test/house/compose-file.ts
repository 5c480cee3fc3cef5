import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

export const ROOT = join(import.meta.dirname, '../..');

export interface ComposeService {
  readonly image?: string;
  readonly build?: { readonly context: string; readonly target: string };
  readonly command?: readonly string[];
  readonly profiles?: readonly string[];
  readonly restart?: string;
  readonly stop_grace_period?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly configs?: readonly { readonly source: string; readonly target: string }[];
  readonly networks?: readonly string[] | Readonly<Record<string, { readonly ipv4_address?: string }>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly deploy?: { readonly replicas?: number };
}

export interface ComposeFile {
  readonly name: string;
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly configs: Readonly<Record<string, { readonly content: string }>>;
  readonly networks: Readonly<
    Record<string, { readonly ipam?: { readonly config: readonly { readonly subnet: string }[] } }>
  >;
  readonly volumes: Readonly<Record<string, unknown>>;
}

export function readText(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8');
}

/** As Compose reads it: anchors merged; variables are left as they stand. */
export function readCompose(): ComposeFile {
  return parse(readText('docker-compose.yml'), { merge: true, uniqueKeys: true }) as ComposeFile;
}

/** One `NAME=value` of .env.example. */
export interface Setting {
  readonly name: string;
  readonly value: string;
  /** Commented out: the value is the default. */
  readonly isDefault: boolean;
  /** The comment above it. */
  readonly meaning: string;
}

export function readSettings(text: string): readonly Setting[] {
  const lines = text.split('\n');
  return lines.flatMap((line, index) => {
    const [, comment, name, value] = /^(# )?([A-Z][A-Z0-9_]*)=(.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) return [];
    const above = /^# (.*)$/.exec(lines[index - 1] ?? '')?.[1] ?? '';
    return [{ name, value, isDefault: comment !== undefined, meaning: above }];
  });
}

/** `${NAME:-default}` and `${NAME:?message}`, the two forms that the file uses. @throws when a required one is not set. */
export function interpolate(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(/\$\{([A-Z_]+)(?::([-?])([^}]*))?\}/g, (_all, name: string, kind: string, rest: string) => {
    const value = env[name] ?? '';
    if (value === '' && kind === '?') throw new Error(`${name} ${rest}`);
    return value === '' && kind === '-' ? rest : value;
  });
}

/** An instruction of a Dockerfile with its arguments, lines that go on joined, comments left out. */
export interface Instruction {
  readonly keyword: string;
  readonly text: string;
}

export function readDockerfile(text: string): readonly Instruction[] {
  return text
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, keyword = '', rest = ''] = /^(\S+)\s+(.*)$/.exec(line) ?? [];
      return { keyword, text: rest };
    });
}

/** The instructions of each stage, by its name. */
export function stagesOf(instructions: readonly Instruction[]): ReadonlyMap<string, readonly Instruction[]> {
  const stages = new Map<string, Instruction[]>();
  let current: Instruction[] | undefined;
  for (const instruction of instructions) {
    if (instruction.keyword === 'FROM') {
      const [, , name = `unnamed-${stages.size}`] = /^(\S+) AS (\S+)$/.exec(instruction.text) ?? [];
      current = [];
      stages.set(name, current);
    }
    current?.push(instruction);
  }
  return stages;
}
