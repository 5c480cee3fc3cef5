import { request, type RequestOptions } from 'node:http';
import { describeError, errorCode } from '@nest-baton/core';
import { type TestingEnvironment } from '../environment.js';
import { BackendFailedError } from '../testing.errors.js';
import type { BackendWay } from './resolve-backend.js';

const PING_TIMEOUT_MS = 800;

/** The addresses at which an engine may listen, in the order in which they are asked; pure. */
export function engineAddresses(environment: TestingEnvironment): readonly RequestOptions[] {
  const { dockerHost, home, runtimeDir } = environment;
  if (dockerHost?.startsWith('unix://')) return [{ socketPath: dockerHost.slice('unix://'.length) }];
  if (dockerHost !== undefined) {
    const url = URL.canParse(dockerHost) ? new URL(dockerHost) : undefined;
    if (url?.protocol !== 'tcp:' && url?.protocol !== 'http:') return [];
    return [{ host: url.hostname, port: Number(url.port || 2375) }];
  }
  const sockets = ['/var/run/docker.sock', `${home}/.docker/run/docker.sock`, `${home}/.colima/default/docker.sock`];
  if (runtimeDir !== undefined) sockets.push(`${runtimeDir}/docker.sock`);
  return sockets.map((socketPath) => ({ socketPath }));
}

/** Whether an engine answers `GET /_ping`. Takes about 3 ms when there is none. */
export async function isEngineRunning(environment: TestingEnvironment): Promise<boolean> {
  const answers = await Promise.all(engineAddresses(environment).map(ping));
  return answers.includes(true);
}

function ping(address: RequestOptions): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ ...address, path: '/_ping', agent: false, timeout: PING_TIMEOUT_MS }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    asked.on('timeout', () => asked.destroy());
    asked.on('error', () => resolve(false));
    asked.on('close', () => resolve(false));
    asked.end();
  });
}

export interface ContainerPlan {
  readonly image: string;
  readonly port: number;
  readonly environment: Readonly<Record<string, string>>;
  readonly command: readonly string[];
  /** The line that says it is ready, and how many times it is printed until it is. */
  readonly readyLine: readonly [RegExp, number];
}

export interface StartedContainer {
  readonly host: string;
  readonly port: number;
  readonly stop: () => Promise<void>;
}

/** The way through testcontainers, which removes its containers itself when the run dies. */
export function containerWay<T>(
  environment: TestingEnvironment,
  plan: ContainerPlan,
  use: (container: StartedContainer) => T,
): BackendWay<T> {
  return {
    name: 'a container engine',
    remedy: 'Start Docker, and install testcontainers.',
    async open() {
      if (environment.isLocalOnly) return { reason: 'skipped, since TEST_BACKENDS=local' };
      if (!(await isEngineRunning(environment))) return { reason: 'none answers' };
      const testcontainers = await import('testcontainers').catch((error: unknown) => {
        if (errorCode(error) === 'ERR_MODULE_NOT_FOUND' || errorCode(error) === 'MODULE_NOT_FOUND') return undefined;
        throw error;
      });
      if (testcontainers === undefined) return { reason: 'one answers, but testcontainers is not installed' };
      return { backend: use(await startContainer(testcontainers, plan)) };
    },
  };
}

async function startContainer(
  { GenericContainer, Wait }: typeof import('testcontainers'),
  plan: ContainerPlan,
): Promise<StartedContainer> {
  try {
    const container = await new GenericContainer(plan.image)
      .withEnvironment({ ...plan.environment })
      .withExposedPorts(plan.port)
      .withCommand([...plan.command])
      .withWaitStrategy(Wait.forLogMessage(...plan.readyLine))
      .start();
    return {
      host: container.getHost(),
      port: container.getMappedPort(plan.port),
      stop: async () => void (await container.stop()),
    };
  } catch (error) {
    throw new BackendFailedError(
      `A container engine answers, but it could not start ${plan.image}: ${describeError(error)}. ` +
        'Repair the engine, or set TEST_BACKENDS=local to go without it.',
      { cause: error },
    );
  }
}
