import { createHash } from 'node:crypto';
import { sqlState } from '@nest-baton/core';
import type { PgPoolClientLike } from './pg-pool.js';

type Query = Parameters<PgPoolClientLike['query']>[0];
type Answer = Awaited<ReturnType<PgPoolClientLike['query']>>;

/** No such statement; one of that name already, of somebody else; or its plan is of an older schema. In each case nothing was executed. */
const NOT_PREPARED: ReadonlySet<string> = new Set(['26000', '42P05', '0A000']);

/**
 * Has the few statements that are sent again and again parsed and planned once a connection, which for a page of chunks costs twice what it takes to
 * read them. Not behind a pooler that gives each statement another connection: that is noticed by the first refusal, and from then on they
 * are sent as they are.
 */
export class PreparedStatements {
  private isPreparing = true;
  private readonly names = new Map<string, string>();

  async query(client: Pick<PgPoolClientLike, 'query'>, query: Query): Promise<Answer> {
    if (this.isPreparing)
      try {
        return await client.query({ ...query, name: this.nameOf(query.text) });
      } catch (error) {
        if (!NOT_PREPARED.has(sqlState(error) ?? '')) throw error;
        this.isPreparing = false;
      }
    return client.query(query);
  }

  private nameOf(text: string): string {
    const known = this.names.get(text);
    if (known !== undefined) return known;
    // Of the text: instances with other schemas may share the user's pool, and `pg` refuses one name for two texts.
    const name = `baton_${createHash('sha256').update(text).digest('base64url').slice(0, 24)}`;
    this.names.set(text, name);
    return name;
  }
}
