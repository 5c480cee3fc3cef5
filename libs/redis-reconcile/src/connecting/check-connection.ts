import { OptionsCheck } from '@nest-baton/core';
import type { Cluster, Redis } from 'ioredis';
import type { ClusterNodeAddress, RedisConnectionOptions } from './connection-source.js';

export interface ResolvedSingle {
  readonly topology: 'single';
  readonly connection: { readonly url: string } | { readonly instance: Redis };
}

export interface ResolvedCluster {
  readonly topology: 'cluster';
  readonly connection: { readonly cluster: readonly (string | ClusterNodeAddress)[] } | { readonly instance: Cluster };
}

/** What the code reads: which kind of server, and how to come to it. */
export type ResolvedConnection = ResolvedSingle | ResolvedCluster;

interface GivenClient {
  readonly duplicate?: unknown;
  readonly isCluster?: boolean;
  readonly options?: { keyPrefix?: string; redisOptions?: { keyPrefix?: string; db?: number } };
}

type ConnectionCheck = OptionsCheck<{ connection: RedisConnectionOptions }>;

type GivenConnection = { readonly url?: unknown; readonly cluster?: unknown; readonly instance?: unknown };

const PROTOCOLS = ['redis:', 'rediss:'];

/** Reports everything wrong; nothing is connected. @param topology as a person wrote it, `undefined` when not. */
export function checkConnection(
  check: ConnectionCheck,
  options: unknown,
  topology: 'single' | 'cluster' | undefined,
): ResolvedConnection {
  const given = ((options as { connection?: unknown } | undefined)?.connection ?? {}) as GivenConnection;
  const named = [given.url, given.cluster, given.instance].filter((one) => one !== undefined);
  if (named.length !== 1) {
    check.problem('connection must be either { url }, { cluster } or { instance }');
    return { topology: 'single', connection: { url: '' } };
  }
  if (given.instance !== undefined) return checkClient(check, given.instance, topology);
  if (given.cluster !== undefined) {
    checkNodes(check, given.cluster);
    check.rule(
      topology !== 'single',
      "connection.cluster contradicts topology 'single': leave topology out, or give connection.url",
    );
    return { topology: 'cluster', connection: given as { cluster: readonly string[] } };
  }
  const url = new OptionsCheck<{ url?: string }>('connection', given as { url?: string }, ['url']);
  const text = url.url('url', PROTOCOLS);
  for (const problem of url.problems) check.problem(`connection.${problem}`);
  if (topology !== 'cluster') return { topology: 'single', connection: { url: text } };
  if (url.problems.length === 0) checkNodes(check, [text]);
  return { topology: 'cluster', connection: { cluster: [text] } };
}

function checkClient(
  check: ConnectionCheck,
  client: GivenClient | null,
  topology: 'single' | 'cluster' | undefined,
): ResolvedConnection {
  const isCluster = client?.isCluster === true;
  const { keyPrefix, redisOptions } = client?.options ?? {};
  if (typeof client?.duplicate !== 'function') check.problem('connection.instance must be a client of ioredis');
  else if (isCluster && topology === 'single')
    check.problem("connection.instance is an ioredis Cluster, and topology is 'single': give a client of one node");
  else if (!isCluster && topology === 'cluster')
    check.problem("topology 'cluster' needs an ioredis Cluster as connection.instance, not a client of one node");
  if (keyPrefix || redisOptions?.keyPrefix)
    check.problem("connection.instance must have no keyPrefix: name what keys begin with by 'service'");
  if (isCluster && (redisOptions?.db ?? 0) !== 0) check.problem(`${NO_DATABASES}, not ${redisOptions?.db}`);
  return isCluster
    ? { topology: 'cluster', connection: { instance: client as unknown as Cluster } }
    : { topology: 'single', connection: { instance: client as unknown as Redis } };
}

const NO_DATABASES = 'a cluster has only database 0';

function checkNodes(check: ConnectionCheck, nodes: unknown): void {
  if (!Array.isArray(nodes) || nodes.length === 0)
    return check.problem('connection.cluster must be a list of at least one node, as URL or { host, port }');
  const urls: URL[] = [];
  nodes.forEach((node: unknown, i) => {
    if (typeof node !== 'string') return checkAddress(check, node, i);
    if (!URL.canParse(node) || !PROTOCOLS.includes(new URL(node).protocol))
      return check.problem(`connection.cluster[${i}] must be a URL that starts with redis:// or rediss://`);
    urls.push(new URL(node));
  });
  const databases = urls.map((url) => url.pathname.slice(1) || url.searchParams.get('db') || '0');
  const other = databases.find((database) => database !== '0');
  if (other !== undefined) check.problem(`${NO_DATABASES}, not ${other}`);
  const accounts = new Set(urls.map(({ protocol, username, password }) => `${protocol}//${username}:${password}`));
  check.rule(
    accounts.size <= 1,
    'connection.cluster must have one protocol, one user and one password for all nodes: those found later are taken to have the same',
  );
}

function checkAddress(check: ConnectionCheck, node: unknown, index: number): void {
  const address = new OptionsCheck<{ host?: string; port?: number }>('node', node as { host?: string }, [
    'host',
    'port',
  ]);
  address.string('host');
  address.integer('port', 6379, { min: 1, max: 65_535 });
  for (const problem of address.problems) check.problem(`connection.cluster[${index}]: ${problem}`);
}
