/**
 * Whether it is a text that Postgres stores and finds again as it is; pure. It has no NUL, and half a character is no text: the driver would write
 * another in its place, and two names would become one.
 */
export function isStoredText(text: unknown, maxLength: number): text is string {
  return (
    typeof text === 'string' &&
    text.length <= maxLength &&
    !text.includes('\0') &&
    Buffer.from(text, 'utf8').toString('utf8') === text
  );
}
