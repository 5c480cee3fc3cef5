/** What `GET /` (or `/_elastic`) says: Quickwit's own answer, or one that official Elasticsearch clients take for Elasticsearch's. */
export function serverInfo(isElastic: boolean): object {
  const common = { name: 'fake', cluster_name: 'fake', cluster_uuid: 'fake', tagline: 'You Know, for Search' };
  const build = { build_hash: 'unknown', build_date: '2026-01-01T00:00:00.000000Z', build_snapshot: false };
  if (isElastic)
    return {
      ...common,
      version: {
        number: '9.1.0',
        build_flavor: 'default',
        build_type: 'docker',
        ...build,
        lucene_version: '10.2.2',
        minimum_wire_compatibility_version: '8.19.0',
        minimum_index_compatibility_version: '8.0.0',
      },
    };
  return {
    ...common,
    version: {
      distribution: 'quickwit',
      number: '7.17.0',
      ...build,
      lucene_version: '8.11.1',
      minimum_wire_compatibility_version: '6.8.0',
      minimum_index_compatibility_version: '6.0.0-beta1',
    },
  };
}
