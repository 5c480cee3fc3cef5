import { checkIsExpress } from './express-only.js';

const adapterOf = (type: string) => ({
  type,
  getType(): string {
    return this.type;
  },
});

describe('checkIsExpress', () => {
  it.each([[adapterOf('express')], [adapterOf('')], [undefined], [null], [{}]])('passes %j', (adapter) => {
    expect(() => checkIsExpress(adapter)).not.toThrow();
  });

  it('refuses another adapter with what to do instead', () => {
    const refused = (): unknown => checkIsExpress(adapterOf('fastify'));
    expect(refused).toThrow(expect.objectContaining({ code: 'OPTIONS_INVALID' }));
    expect(refused).toThrow(/must be Express, not 'fastify'.*@nestjs\/platform-express/);
  });
});
