import type { EntitySchemaColumnOptions } from 'typeorm';

export const uuid = (name: string): EntitySchemaColumnOptions => ({ name, type: 'uuid' });
export const text = (name: string): EntitySchemaColumnOptions => ({ name, type: 'text' });
export const integer = (name: string): EntitySchemaColumnOptions => ({ name, type: 'integer' });
export const timestamp = (name: string): EntitySchemaColumnOptions => ({ name, type: 'timestamp with time zone' });
export const nullable = (column: EntitySchemaColumnOptions): EntitySchemaColumnOptions => ({
  ...column,
  nullable: true,
});
