import { EntitySchema } from 'typeorm';
import { integer, nullable, text, timestamp, uuid } from './entity-columns.js';

/**
 * An event that waits for something before its deliveries are what they should be; most events have no row. Read-only, as all of them.
 *
 * `sweep`: it goes to a queue, and is handed over again at `nextAt` while deliveries of it are open. `fan-out`: more than 200 endpoints want it, and
 * a relay makes the rest of its deliveries.
 */
export class EventHandOff {
  eventId: string;
  kind: 'sweep' | 'fan-out';
  /** When somebody looks at it next. */
  nextAt: Date;
  leaseUntil: Date | null;
  /** `bigint`, as text; grows with each claim. */
  fence: string;
  /** How often a sweep has found it, or how many deliveries were made. */
  count: number;
  /** Of a fan-out: endpoints up to this id have their deliveries. */
  endpointsUntil: string | null;
}

export function handOffSchema(schema: string): EntitySchema<EventHandOff> {
  return new EntitySchema<EventHandOff>({
    name: 'EventHandOff',
    target: EventHandOff,
    schema,
    tableName: 'webhook_hand_offs',
    synchronize: false,
    columns: {
      eventId: { ...uuid('event_id'), primary: true },
      kind: text('kind'),
      nextAt: timestamp('next_at'),
      leaseUntil: nullable(timestamp('lease_until')),
      fence: { name: 'fence', type: 'bigint' },
      count: integer('count'),
      endpointsUntil: nullable(uuid('endpoints_until')),
    },
    indices: [
      { name: 'webhook_hand_offs_sweep', columns: ['nextAt'], where: `kind = 'sweep'` },
      { name: 'webhook_hand_offs_fan_out', columns: ['nextAt'], where: `kind = 'fan-out'` },
    ],
  });
}
