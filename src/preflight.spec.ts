import { unreachable } from './preflight.js';

describe('the sentence about a server that cannot be used', () => {
  it.each([
    ['ECONNREFUSED', 'start Postgres'],
    ['ENOTFOUND', 'does not resolve'],
    ['28P01', 'user or password'],
    ['3D000', 'no such database'],
  ])('names the remedy for %s, and neither credentials nor query', (code, remedy) => {
    const sentence = unreachable('Postgres', 'postgres://u:secret@db:5432/x?key=hidden', 'BATON_DATABASE_URL', {
      code,
    });
    expect(sentence).toContain(remedy);
    expect(sentence).toContain('BATON_DATABASE_URL');
    expect(sentence).toContain('db:5432');
    expect(sentence).not.toMatch(/secret|hidden/);
  });

  it('says that a password is wanted, and keeps what the server said of anything else', () => {
    const of = (message: string) => unreachable('Redis', 'redis://cache', 'BATON_REDIS_URL', { message });
    expect(of('NOAUTH Authentication required.')).toMatch(/wants a password .* put it into BATON_REDIS_URL/);
    expect(of('no pg_hba.conf entry for host, no encryption')).toMatch(
      /no encryption: check the server \(where it wants TLS/,
    );
  });

  it('finds the code inside the aggregate that a name with two addresses gives', () => {
    const error = { name: 'AggregateError', message: '', errors: [{ code: 'ECONNREFUSED' }, { code: 'ECONNREFUSED' }] };
    expect(unreachable('Redis', 'redis://localhost', 'BATON_REDIS_URL', error)).toContain('start Redis');
  });
});
