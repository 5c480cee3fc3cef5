import { isContentType, isJson, isText } from './content-type.js';

describe('content types', () => {
  it.each(['text/plain', 'Application/JSON; charset=utf-8', 'application/vnd.x+json;a="b"'])('accept %s', (type) => {
    expect(isContentType(type)).toBe(true);
  });

  it.each(['', 'text', 'text/', '/plain', 'text/plain; a=\r\nSet-Cookie: x', 'text/plain;\0', 'text/plain; ü'])(
    'refuse %j, which no header may carry',
    (type) => {
      expect(isContentType(type)).toBe(false);
    },
  );

  it('are compared without case and parameters', () => {
    expect(isJson('Application/JSON; charset=utf-8')).toBe(true);
    expect([isText('TEXT/html'), isText('application/json'), isText('application/jsonx')]).toEqual([true, true, false]);
  });
});
