import { routeOf } from './routes.js';

describe('routeOf', () => {
  it.each([
    ['/api/v1/logs/ingest', { kind: 'native', index: 'logs' }],
    ['/api/v1/a%20b/ingest', { kind: 'native', index: 'a b' }],
    ['/api/v1/%zz/ingest', { kind: 'native', index: '%zz' }],
    ['/api/v1/_elastic/_bulk', { kind: 'bulk', index: undefined }],
    ['/api/v1/_elastic/logs/_bulk', { kind: 'bulk', index: 'logs' }],
    ['/_elastic/_bulk', { kind: 'bulk', index: undefined }],
    ['/_elastic/logs/_bulk', { kind: 'bulk', index: 'logs' }],
    ['/_bulk', { kind: 'bulk', index: undefined }],
    ['/logs/_bulk', { kind: 'bulk', index: 'logs' }],
    ['/', { kind: 'info' }],
    ['/_elastic', { kind: 'info' }],
    ['/api/v1/_elastic', { kind: 'info' }],
    ['/logs/_refresh', { kind: 'refresh', index: 'logs' }],
    ['/_refresh', { kind: 'refresh', index: undefined }],
    ['/health/livez', { kind: 'health', which: 'livez' }],
    ['/health/readyz', { kind: 'health', which: 'readyz' }],
    ['/health/other', { kind: 'none' }],
    ['/api/v1/_bulk', { kind: 'none' }],
    ['/api/v1/logs/ingest/', { kind: 'none' }],
    ['/api/v1/logs/tail', { kind: 'none' }],
    ['/api/v1/ingest', { kind: 'none' }],
  ])('%s', (path, route) => expect(routeOf(path)).toEqual(route));
});
