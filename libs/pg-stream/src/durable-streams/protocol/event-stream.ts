/** What a client of `live=sse` is told after each piece of data. */
export interface Control {
  readonly streamNextOffset: string;
  readonly streamCursor?: string;
  readonly upToDate?: true;
  readonly streamClosed?: true;
}

/**
 * One event of the protocol's own framing. Pure. CR, CRLF and LF all end a line, so each becomes a line of its own and none an event; a CR
 * comes back as LF, which is why byte-exact text needs another mode or a binary content type. A leading space is doubled: parsers take one away.
 */
export function eventOf(event: 'data' | 'control', text: string): string {
  const lines = text.split(/\r\n|\r|\n/).map((line) => `data:${line.startsWith(' ') ? ' ' : ''}${line}\n`);
  return `event: ${event}\n${lines.join('')}\n`;
}

/** Pure. */
export function controlOf(control: Control): string {
  return eventOf('control', JSON.stringify(control));
}
