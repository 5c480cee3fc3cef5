import { EntitySchema } from 'typeorm';
import { text, uuid } from './entity-columns.js';

/**
 * The events of one key for one endpoint with `order: 'strict'`, as far as they were committed. Read-only, as all of them; gone when no delivery of it
 * is left.
 */
export class OutboxLine {
  /** `bigint`, as text. */
  id: string;
  endpointId: string;
  orderKey: string;
  /** Place of the last event; `bigint`, as text. */
  lastSeq: string;
}

export function lineSchema(schema: string): EntitySchema<OutboxLine> {
  return new EntitySchema<OutboxLine>({
    name: 'OutboxLine',
    target: OutboxLine,
    schema,
    tableName: 'webhook_lines',
    synchronize: false,
    columns: {
      id: { name: 'id', type: 'bigint', primary: true, generated: 'increment' },
      endpointId: uuid('endpoint_id'),
      orderKey: text('order_key'),
      lastSeq: { name: 'last_seq', type: 'bigint' },
    },
    indices: [{ name: 'webhook_lines_key', columns: ['endpointId', 'orderKey'], unique: true }],
  });
}
