import type { z } from 'zod';
import { Problem } from './problem.js';

/** The body as `schema` has it. @throws Problem 400 naming each field that is wrong. */
export function parseBody<Schema extends z.ZodType>(schema: Schema, body: unknown): z.infer<Schema> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.map(({ path, message }) => ({ field: path.join('.') || '(body)', message }));
  throw new Problem(
    400,
    'BODY_INVALID',
    `The request body is not what this path takes: ${errors[0]?.message}.`,
    errors,
  );
}
