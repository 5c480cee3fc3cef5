/** Uses what only a run from sources has: a package of this repository, types, and decorators with their metadata. */
import 'reflect-metadata';
import { parseDuration } from '@nest-baton/core';

function noted(): ParameterDecorator {
  return () => undefined;
}

class Dependency {}

class Dependant {
  constructor(@noted() readonly dependency: Dependency) {}
}

const types = Reflect.getMetadata('design:paramtypes', Dependant) as { name: string }[] | undefined;
console.log(`metadata ${types?.map(({ name }) => name).join()} duration ${parseDuration('2s')}`);
process.exitCode = 7;
