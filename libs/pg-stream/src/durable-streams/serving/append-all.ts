import type { TransactionLike } from '@nest-baton/core';
import type { PgStreamService } from '../../pg-stream.service.js';
import type { Appended, Producer } from '../../writing/append-options.js';

/** Several chunks as one call of a producer; the caller's transaction makes them one write. */
export async function appendAll(
  streams: PgStreamService,
  stream: string,
  chunks: readonly (string | Uint8Array)[],
  { transaction, producer }: { readonly transaction: TransactionLike; readonly producer?: Producer },
): Promise<Appended> {
  const [first = '', ...others] = chunks;
  const numbered = producer === undefined ? {} : { producer };
  const appended = await streams.append(stream, first, { transaction, ...numbered });
  let { lastIndex } = appended;
  if (!appended.duplicate)
    for (const chunk of others) ({ lastIndex } = await streams.append(stream, chunk, { transaction }));
  return { ...appended, lastIndex };
}
