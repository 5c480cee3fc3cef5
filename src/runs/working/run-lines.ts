/**
 * The input as chunks: each is one line with its terminator. Only `\n` ends a line, so a `\r` stays where it was; the last line may have no
 * terminator. Together the chunks are the input, byte for byte; an empty input has none.
 */
export function* linesOf(input: Buffer, fromIndex = 0): Generator<Buffer> {
  let start = 0;
  for (let index = 0; start < input.length; index++) {
    const newline = input.indexOf(0x0a, start);
    const end = newline === -1 ? input.length : newline + 1;
    if (index >= fromIndex) yield input.subarray(start, end);
    start = end;
  }
}
