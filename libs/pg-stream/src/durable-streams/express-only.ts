import { OptionsInvalidError } from '@nest-baton/core';

/**
 * The controller speaks to Express: its wildcard, and its request, whose body nobody has read. An adapter without a type serves nothing: a
 * context without HTTP, a testing module. Pure.
 *
 * @throws OptionsInvalidError for any other adapter.
 */
export function checkIsExpress(adapter: unknown): void {
  const { getType } = (adapter ?? {}) as { readonly getType?: () => string };
  const type = typeof getType === 'function' ? getType.call(adapter) : '';
  if (type === '' || type === 'express') return;
  throw new OptionsInvalidError('DurableStreamsModule', [
    `the HTTP adapter must be Express, not '${type}': create the application with the ExpressAdapter of @nestjs/platform-express, or serve ` +
      'the streams from an application of their own that has it',
  ]);
}
