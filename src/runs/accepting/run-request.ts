import { createHash } from 'node:crypto';
import { open, realpath } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { z } from 'zod';
import { parseBody } from '../../http/parse-body.js';
import { Problem } from '../../http/problem.js';
import { linesOf } from '../working/run-lines.js';

/** 4 MiB: what one row holds, and what a worker holds of one run. */
export const MAX_INPUT_BYTES = 4 * 1024 * 1024;

/** One line is one chunk, and a chunk is at most this (`maxChunkBytes` of the stream). */
const MAX_LINE_BYTES = 1024 * 1024;

const schema = z
  .strictObject({ input: z.string().optional(), inputName: z.string().min(1).max(1024).optional() })
  .refine(({ input, inputName }) => (input === undefined) !== (inputName === undefined), {
    message: 'give either input or inputName',
  });

export interface RunRequest {
  readonly input: Buffer;
  /** Of what was asked for, not of the file's content: the same request stays the same after the file has changed. */
  readonly requestHash: Buffer;
}

/** Reads the request whole before anything is written, so a refused one leaves nothing behind. @throws Problem */
export async function readRunRequest(body: unknown, inputDir: string | undefined): Promise<RunRequest> {
  const { input, inputName } = parseBody(schema, body);
  const bytes = input === undefined ? await readInputFile(inputName ?? '', inputDir) : encode(input);
  let line = 0;
  for (const { length } of linesOf(bytes)) {
    line++;
    if (length > MAX_LINE_BYTES)
      throw new Problem(
        422,
        'LINE_TOO_LONG',
        `Line ${line} has ${length} bytes; at most ${MAX_LINE_BYTES} fit a chunk.`,
      );
  }
  const requestHash = createHash('sha256').update(JSON.stringify({ input, inputName })).digest();
  return { input: bytes, requestHash };
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
  if (root === undefined || path === undefined || !path.startsWith(root + sep)) throw missing;
  const file = await open(path, 'r');
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw missing;
    if (stat.size > MAX_INPUT_BYTES) throw tooLarge(stat.size);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

function tooLarge(bytes: number): Problem {
  return new Problem(413, 'INPUT_TOO_LARGE', `The input has ${bytes} bytes; a run takes at most ${MAX_INPUT_BYTES}.`);
}
