import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { z } from 'zod';
import { parseBody } from '../../http/parse-body.js';
import { Problem } from '../../http/problem.js';
import type { RunsOptions } from '../runs.options.js';
import { linesOf } from '../working/run-lines.js';

/** 4 MiB: what one row holds, and what a worker holds of one run. */
export const MAX_INPUT_BYTES = 4 * 1024 * 1024;

const schema = z
  .strictObject({ input: z.string().optional(), inputName: z.string().min(1).max(1024).optional() })
  .refine(({ input, inputName }) => (input === undefined) !== (inputName === undefined), {
    message: 'give either input or inputName',
  });

/** What a request asks for, before anything is read or written. */
export interface RunRequest {
  readonly input: string | undefined;
  readonly inputName: string | undefined;
  /** Of what was asked for, not of the file's content: the same request stays the same after the file has changed or gone. */
  readonly requestHash: Buffer;
}

/** @throws Problem 400 */
export function parseRunRequest(body: unknown): RunRequest {
  const { input, inputName } = parseBody(schema, body);
  const requestHash = createHash('sha256').update(JSON.stringify({ input, inputName })).digest();
  return { input, inputName, requestHash };
}

/** The bytes of the run, checked whole before anything is written, so a refused request leaves nothing behind. @throws Problem */
export async function readRunInput(
  { input, inputName }: RunRequest,
  { inputDir, maxLineBytes }: Pick<RunsOptions, 'inputDir' | 'maxLineBytes'>,
): Promise<Buffer> {
  const bytes = input === undefined ? await readInputFile(inputName ?? '', inputDir) : encode(input);
  let line = 0;
  for (const { length } of linesOf(bytes)) {
    line++;
    if (length > maxLineBytes)
      throw new Problem(422, 'LINE_TOO_LONG', `Line ${line} has ${length} bytes; at most ${maxLineBytes} fit a chunk.`);
  }
  return bytes;
}

function encode(input: string): Buffer {
  if (!input.isWellFormed())
    throw new Problem(422, 'INPUT_INVALID', 'input holds half of a surrogate pair, which UTF-8 cannot carry.');
  const bytes = Buffer.from(input, 'utf8');
  if (bytes.length > MAX_INPUT_BYTES) throw tooLarge(bytes.length);
  return bytes;
}

/** A regular file below `inputDir`, also after symbolic links. Its bytes are stored with the run, so it may change or go afterwards. */
async function readInputFile(name: string, inputDir: string | undefined): Promise<Buffer> {
  if (inputDir === undefined)
    throw new Problem(422, 'INPUT_NAME_DISABLED', 'inputName needs BATON_INPUT_DIR; send the text as input instead.');
  const missing = new Problem(422, 'INPUT_NOT_FOUND', 'inputName does not name a file below BATON_INPUT_DIR.');
  if (name.includes('\0')) throw missing;
  const root = await realpath(inputDir).catch(() => undefined);
  const path = root === undefined ? undefined : await realpath(resolve(root, name)).catch(() => undefined);
  if (root === undefined || path === undefined || !path.startsWith(root.endsWith(sep) ? root : root + sep))
    throw missing;
  // Without waiting: opening a named pipe would hold a thread until somebody writes to it.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => undefined);
  if (file === undefined) throw missing;
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw missing;
    if (stat.size > MAX_INPUT_BYTES) throw tooLarge(stat.size);
    const bytes = await file.readFile();
    if (bytes.length > MAX_INPUT_BYTES) throw tooLarge(bytes.length);
    return bytes;
  } finally {
    await file.close();
  }
}

function tooLarge(bytes: number): Problem {
  return new Problem(413, 'INPUT_TOO_LARGE', `The input has ${bytes} bytes; a run takes at most ${MAX_INPUT_BYTES}.`);
}
