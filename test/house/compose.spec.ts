import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { isIPv4, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseDuration } from '@nest-baton/core';
import { resolveIngestOptions } from '@nest-baton/ingest';
import { resolvePgStreamOptions } from '@nest-baton/pg-stream';
import { resolveRedisReconcileOptions } from '@nest-baton/redis-reconcile';
import { startProcess } from '@nest-baton/testing';
import { resolveWebhookOutboxOptions } from '@nest-baton/webhook-outbox';
import { type AppConfig, appConfigFromEnv, KNOWN_VARIABLES, SET_BY_SERVICE } from '../../src/app.config.js';
import {
  type ComposeService,
  type Instruction,
  interpolate,
  readCompose,
  readDockerfile,
  readSettings,
  readText,
  ROOT,
  stagesOf,
} from './compose-file.js';

const SERVICE_KEYS = [
  'build cap_drop command configs depends_on deploy env_file environment healthcheck image init networks ports',
  'profiles read_only restart security_opt stop_grace_period stop_signal tmpfs volumes',
].flatMap((keys) => keys.split(' '));

const compose = readCompose();
const services = Object.entries(compose.services);
const settings = readSettings(readText('.env.example'));
/** As someone fills them in who was told that they are required. */
const FILLED_IN = {
  BATON_API_TOKEN: 'a-token',
  BATON_WEBHOOK_OUTBOX_KEYS: `k1:${Buffer.alloc(32, 1).toString('base64')}`,
};

function environmentOf(service: ComposeService): Record<string, string> {
  const given = Object.entries(service.environment ?? {});
  return Object.fromEntries(given.map(([name, value]) => [name, interpolate(value, FILLED_IN)] as const));
}

/** What a `.env` copied from the example gives each process, and over it what the file sets. */
function fullEnvironmentOf(service: ComposeService): Record<string, string> {
  const copied = settings.filter(({ isDefault }) => !isDefault).map(({ name, value }) => [name, value] as const);
  return { ...Object.fromEntries(copied), ...FILLED_IN, ...environmentOf(service) };
}

/** Published on the host: address, port there, port inside. */
function publishedPorts(service: ComposeService): readonly (readonly [string, number, number])[] {
  return (service.ports ?? []).map((port) => {
    const [address = '', host, inside] = port.split(':');
    return [address, Number(host), Number(inside)];
  });
}

describe('docker-compose.yml', () => {
  it('has only what Compose knows', () => {
    const top = Object.keys(compose).filter((key) => !key.startsWith('x-'));
    expect(top).toEqual(['name', 'services', 'configs', 'networks', 'volumes']);
    for (const [name, service] of services) {
      expect([name, Object.keys(service).filter((key) => !SERVICE_KEYS.includes(key))]).toEqual([name, []]);
      expect(service.restart).toMatch(/^(no|unless-stopped)$/);
    }
  });

  it('pins every image that it does not build', () => {
    for (const [name, { image = '', build }] of services)
      expect(`${name} ${image}`).toMatch(build === undefined ? /:\d+\.\d+(\.\d+)?(-[a-z]+)*$/ : /:local$/);
  });

  it('waits only for services that exist, in a way that they can answer', () => {
    for (const [name, { depends_on = {}, profiles = [] }] of services)
      for (const [wanted, { condition }] of Object.entries(depends_on)) {
        const target = compose.services[wanted];
        expect([name, wanted, target !== undefined]).toEqual([name, wanted, true]);
        // A service that is always there must not wait for one that may be left out.
        for (const profile of target?.profiles ?? []) expect(profiles).toContain(profile);
        if (condition === 'service_healthy') expect(target?.healthcheck).toBeDefined();
        else if (condition === 'service_completed_successfully') expect(target?.restart).toBe('no');
        else expect(condition).toBe('service_started');
      }
  });

  it('declares the volumes, configs and networks that it uses, and uses those that it declares', () => {
    const all = services.map(([, service]) => service);
    const used = {
      volumes: all.flatMap(({ volumes = [] }) => volumes.map((volume) => volume.split(':')[0])),
      configs: all.flatMap(({ configs = [] }) => configs.map(({ source }) => source)),
      networks: all.flatMap(({ networks = [] }) => (isList(networks) ? networks : Object.keys(networks))),
    };
    for (const kind of ['volumes', 'configs', 'networks'] as const)
      expect([...new Set(used[kind])].toSorted()).toEqual(Object.keys(compose[kind]).toSorted());
    for (const { networks } of all) expect(networks).toBeDefined();
  });

  it('publishes on loopback only, no port twice', () => {
    const ports = services.flatMap(([, service]) => publishedPorts(service));
    expect(ports.filter(([address]) => address !== '127.0.0.1')).toEqual([]);
    const onHost = ports.map(([, host]) => host);
    expect(onHost).toEqual([...new Set(onHost)]);
  });

  it('asks every server and every role for its health, the roles by the image', () => {
    for (const [name, { healthcheck, build, restart }] of services)
      if (restart !== 'no' && build === undefined) expect([name, healthcheck?.test[0]]).toEqual([name, 'CMD']);
    expect(readText('Dockerfile')).toContain('HEALTHCHECK');
  });
});

describe('the service in docker-compose.yml', () => {
  const roles = services.filter(([, { build }]) => build !== undefined);

  it('runs in the roles api and worker', () => {
    expect(roles.map(([name, service]) => [name, environmentOf(service)['BATON_ROLE']])).toEqual([
      ['api', 'api'],
      ['worker', 'worker'],
    ]);
  });

  it.each(roles)('as %s it accepts its environment, on the servers that the file starts', (name, service) => {
    const config = appConfigFromEnv(fullEnvironmentOf(service));
    expect(config.role).toBe(name);
    const { connection } = config.redisReconcile;
    for (const url of [config.databaseUrl, 'url' in connection ? connection.url : '', config.ingest.url ?? '']) {
      const { hostname, port } = new URL(url);
      const server = compose.services[hostname];
      expect([hostname, server !== undefined]).toEqual([hostname, true]);
      expect(publishedPorts(server ?? {}).map(([, , inside]) => inside)).toContain(Number(port));
      expect(Object.keys(service.depends_on ?? {}).some((wanted) => wanted.startsWith(hostname))).toBe(true);
    }
  });

  it('does not start without the secrets, and says which', () => {
    for (const missing of ['BATON_API_TOKEN', 'BATON_WEBHOOK_OUTBOX_KEYS'] as const) {
      const texts = Object.values(compose.services['api']?.environment ?? {}).map(String);
      expect(() => texts.map((text) => interpolate(text, { ...FILLED_IN, [missing]: '' }))).toThrow(
        `${missing} is required, see .env.example`,
      );
    }
  });

  it('connects to Postgres as the user whom the file creates', () => {
    const { username, password, pathname } = new URL(
      environmentOf(compose.services['api'] ?? {})['BATON_DATABASE_URL'] ?? '',
    );
    expect(environmentOf(compose.services['postgres'] ?? {})).toEqual({
      POSTGRES_USER: username,
      POSTGRES_PASSWORD: password,
      POSTGRES_DB: pathname.slice(1),
    });
  });

  it.each(roles)('as %s it is given the time that its shutdown may take', (_name, service) => {
    const { redis, webhooks, ingest } = resolved(appConfigFromEnv(fullEnvironmentOf(service)));
    const longest = redis.shutdownTimeoutMs + webhooks.shutdownTimeoutMs + ingest.closeTimeoutMs + ingest.hookTimeoutMs;
    expect(parseDuration(service.stop_grace_period ?? '')).toBeGreaterThan(longest + 10_000);
  });

  it('indexes where the step before it made an index, and leaves one alone that is there', async () => {
    const index = environmentOf(compose.services['worker'] ?? {})['BATON_INGEST_INDEX'];
    const made: unknown[] = [];
    const server = createServer((request, response) => {
      const body: Buffer[] = [];
      request.on('data', (part: Buffer) => body.push(part));
      request.on('end', () => {
        if (request.method === 'POST') made.push(JSON.parse(Buffer.concat(body).toString()));
        const isThere = request.method === 'POST' || (made.length > 0 && request.url === `/api/v1/indexes/${index}`);
        response.writeHead(isThere ? 200 : 404).end('{}');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const folder = mkdtempSync(join(tmpdir(), 'baton-compose-'));
    try {
      const entry = join(folder, 'create-index.mjs');
      const { port } = server.address() as AddressInfo;
      writeFileSync(
        entry,
        (compose.configs['create-index']?.content ?? '').replace('quickwit:7280', `127.0.0.1:${port}`),
      );
      for (let run = 0; run < 2; run++) expect((await (await startProcess({ entry })).exited).code).toBe(0);
      expect(made).toEqual([expect.objectContaining({ index_id: index })]);
    } finally {
      server.close();
      rmSync(folder, { recursive: true });
    }
  });
});

describe('the Redis Cluster in docker-compose.yml', () => {
  const nodes = services.filter(([name]) => /^redis-cluster-\d$/.test(name)).map(([, service]) => service);
  const addressOf = ({ networks }: ComposeService): string => {
    const [network] = Object.values(networks ?? {}) as { readonly ipv4_address?: string }[];
    return network?.ipv4_address ?? '';
  };
  const portOf = ({ command = [] }: ComposeService): number => Number(command[command.indexOf('--port') + 1]);

  it('has six nodes, in a profile of their own, with an address, a port and a volume each', () => {
    expect(nodes).toHaveLength(6);
    for (const node of nodes) {
      expect(node.profiles).toEqual(['cluster']);
      expect(isIPv4(addressOf(node))).toBe(true);
      expect(publishedPorts(node)).toEqual([['127.0.0.1', portOf(node), portOf(node)]]);
      expect(node.healthcheck?.test).toContain(String(portOf(node)));
    }
    const subnet = compose.networks['baton']?.ipam?.config[0]?.subnet ?? '';
    const [prefix = ''] = /^\d+\.\d+\.\d+\./.exec(subnet) ?? [];
    expect(nodes.filter((node) => !addressOf(node).startsWith(prefix))).toEqual([]);
    const own = nodes.map((node) => [addressOf(node), portOf(node), node.volumes?.[0]]);
    for (const column of [0, 1, 2]) expect(new Set(own.map((row) => row[column])).size).toBe(6);
  });

  it('has bus ports, 10 000 above, that nothing else takes', () => {
    const taken = services.flatMap(([, service]) =>
      publishedPorts(service).flatMap(([, host, inside]) => [host, inside]),
    );
    for (const node of nodes) expect(taken).not.toContain(portOf(node) + 10_000);
    expect(Math.max(...nodes.map(portOf)) + 10_000).toBeLessThan(65_536);
  });

  it('is made of all six, a replica for each master, once they are healthy', () => {
    const script = (compose.configs['create-cluster']?.content ?? '').replace(/\\\n\s*/g, '');
    const named = script.match(/--cluster create (.*?) --cluster-replicas 1 /)?.[1]?.split(/\s+/);
    expect(named).toEqual(nodes.map((node) => `${addressOf(node)}:${portOf(node)}`));
    expect(script).toContain(`-h ${addressOf(nodes[0] ?? {})} -p ${portOf(nodes[0] ?? {})} `);
    expect(Object.keys(compose.services['redis-cluster-create']?.depends_on ?? {})).toHaveLength(6);
    expect(spawnSync('sh', ['-n'], { input: script }).status).toBe(0);
  });

  it('never evicts, keeps what it was told, and tells of what expires', () => {
    const lines = (compose.configs['redis-cluster']?.content ?? '').trim().split('\n');
    const wanted = [
      'cluster-enabled yes',
      'appendonly yes',
      'maxmemory-policy noeviction',
      'notify-keyspace-events Kx',
    ];
    expect(lines).toEqual(expect.arrayContaining(wanted));
    const single = (compose.services['redis']?.command ?? []).join(' ');
    for (const line of wanted.slice(1)) expect(single).toContain(`--${line}`);
  });
});

describe('.env.example', () => {
  const named = settings.map(({ name }) => name);

  it('names every variable of the service once, and no other', () => {
    const known = KNOWN_VARIABLES.filter((name) => SET_BY_SERVICE[name] === undefined);
    expect(named.filter((name) => name.startsWith('BATON_')).toSorted()).toEqual(known.toSorted());
  });

  it('names what docker-compose.yml sets or asks for', () => {
    const text = readText('docker-compose.yml');
    const set = services.flatMap(([, { environment = {} }]) => Object.keys(environment));
    const asked = [...text.matchAll(/\$\{([A-Z_]+)/g)].map(([, name]) => name ?? '');
    const others = ['NODE_ENV', 'POSTGRES_USER', 'POSTGRES_DB'];
    expect([...set, ...asked].filter((name) => !named.includes(name) && !others.includes(name))).toEqual([]);
  });

  it('says in a line what each is for', () => {
    expect(settings.filter(({ meaning }) => !/^[A-Za-z].{5,}[.\da-z"]$/.test(meaning)).map(({ name }) => name)).toEqual(
      [],
    );
  });

  it('shows the defaults that the service has', () => {
    const needed = Object.fromEntries(
      settings.filter(({ isDefault }) => !isDefault).map(({ name, value }) => [name, value]),
    );
    const defaults = Object.fromEntries(settings.map(({ name, value }) => [name, value]));
    const here = { POD_NAME: 'here' };
    expect(resolved(appConfigFromEnv({ ...here, ...defaults }))).toEqual(
      resolved(appConfigFromEnv({ ...here, ...needed })),
    );
    // An empty value hides no default: set to nothing, it would be the same.
    expect(settings.filter(({ isDefault, value }) => isDefault && value !== '').length).toBeGreaterThan(50);
  });
});

describe('the Dockerfile', () => {
  const stages = stagesOf(readDockerfile(readText('Dockerfile')));
  const names = [...stages.keys()];
  const last = stages.get(names.at(-1) ?? '') ?? [];
  const of = (instructions: readonly Instruction[], keyword: string) =>
    instructions.filter((instruction) => instruction.keyword === keyword).map(({ text }) => text);

  it('has named stages on pinned images of a Node that we support, and ends in the one that Compose builds', () => {
    expect(names).toEqual(['build', compose.services['api']?.build?.target]);
    const bases = [...stages.values()].flatMap((stage) => of(stage, 'FROM'));
    expect(new Set(bases.map((base) => base.split(' ')[0])).size).toBe(1);
    expect(bases[0]).toContain(`node:${readText('.nvmrc').trim()}-`);
  });

  it('copies what exists: of the repository, or of a stage before', () => {
    for (const [stage, instructions] of stages)
      for (const copy of of(instructions, 'COPY')) {
        const [, from, rest = ''] = /^(?:--from=(\S+) )?(.*)$/.exec(copy) ?? [];
        const sources = rest.split(' ').slice(0, -1);
        if (from !== undefined) expect(names.indexOf(from)).toBeLessThan(names.indexOf(stage));
        else for (const source of sources) expect([source, existsSync(join(ROOT, source))]).toEqual([source, true]);
      }
    expect(stages.size).toBe(2);
  });

  it('is given by .dockerignore what it copies', () => {
    const ignore = readText('.dockerignore')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    expect(ignore[0]).toBe('*');
    const copied = of(stages.get('build') ?? [], 'COPY').flatMap((copy) => copy.split(' ').slice(0, -1));
    const allowed = ignore.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
    expect([...new Set(copied.map((path) => path.split('/')[0]))].toSorted()).toEqual(allowed.toSorted());
    expect(ignore).toEqual(expect.arrayContaining(['**/node_modules', '**/dist']));
  });

  it('knows every workspace before it installs', () => {
    const copied = of(stages.get('build') ?? [], 'COPY').join('\n');
    for (const lib of readdirSync(join(ROOT, 'libs')))
      expect(copied).toContain(`libs/${lib}/package.json libs/${lib}/`);
  });

  it('builds as npm run build does, and starts what that makes, without npm in between', () => {
    expect(of(stages.get('build') ?? [], 'RUN').join('\n')).toMatch(/npm ci[^]*npm run build && npm prune --omit=dev/);
    const { scripts } = JSON.parse(readText('package.json')) as { scripts: Record<string, string> };
    const [command = ''] = of(last, 'CMD');
    expect((JSON.parse(command) as string[]).join(' ')).toBe(scripts['start:prod']);
    const { outDir } = (JSON.parse(readText('tsconfig.build.json')) as { compilerOptions: { outDir: string } })
      .compilerOptions;
    expect(command).toContain(`${outDir.slice(2)}/main.js`);
    expect(existsSync(join(ROOT, 'src/main.ts'))).toBe(true);
  });

  it('runs as an ordinary user, stops by the signal that Node hears, and asks the port that Compose publishes', () => {
    expect(of(last, 'USER')).toEqual(['node']);
    expect(of(last, 'STOPSIGNAL')).toEqual(['SIGTERM']);
    const [exposed] = of(last, 'EXPOSE');
    const api = compose.services['api'] ?? {};
    expect(publishedPorts(api).map(([, , inside]) => `${inside}`)).toEqual([exposed]);
    for (const name of ['api', 'worker'])
      expect(appConfigFromEnv(fullEnvironmentOf(compose.services[name] ?? {})).port).toBe(Number(exposed));
    const [health = ''] = of(last, 'HEALTHCHECK');
    expect(health).toContain(`process.env.BATON_PORT || ${exposed}`);
    expect(health).toContain('/health/live');
    const [, , script = ''] = JSON.parse(health.slice(health.indexOf('['))) as string[];
    expect(spawnSync(process.execPath, ['--check', '-'], { input: script }).status).toBe(0);
  });
});

function isList(networks: NonNullable<ComposeService['networks']>): networks is readonly string[] {
  return Array.isArray(networks);
}

/** What code reads, of every module: two environments are the same when these are. */
function resolved(config: AppConfig) {
  return {
    service: { ...config, ingest: 0, pgStream: 0, webhookOutbox: 0, redisReconcile: 0 },
    ingest: resolveIngestOptions(config.ingest),
    streams: resolvePgStreamOptions(config.pgStream),
    webhooks: resolveWebhookOutboxOptions(config.webhookOutbox),
    redis: resolveRedisReconcileOptions(config.redisReconcile),
  };
}
