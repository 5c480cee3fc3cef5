/**
 * What the Durable Streams protocol keeps of a stream beside its chunks; a stream without such a row has the defaults.
 *
 * - `expires_at`: when it ends; moved by each read and write where there is `ttl_seconds`.
 * - `origin_id`: the first part of its offsets: its own id, or for a fork the origin of its source.
 * - `forked_from`, and `fork_offset` and `fork_sub_offset` as the client wrote them, to tell a repeated creation from another one.
 * - `last_seq`: the last `Stream-Seq`, compared byte by byte.
 * - `is_gone`: deleted while forks of it live; the stream keeps its name until the last one goes.
 */
export function durableStreams(schema: string): readonly string[] {
  return [
    `CREATE TABLE ${schema}.durable_streams (
       stream_id bigint PRIMARY KEY REFERENCES ${schema}.streams (id) ON DELETE CASCADE,
       content_type text NOT NULL,
       ttl_seconds bigint,
       expires_at timestamptz,
       origin_id bigint NOT NULL,
       forked_from bigint,
       fork_offset text,
       fork_sub_offset bigint NOT NULL DEFAULT 0,
       last_seq text COLLATE "C",
       is_gone boolean NOT NULL DEFAULT false
     )`,
    `CREATE INDEX durable_streams_expires_at ON ${schema}.durable_streams (expires_at) WHERE expires_at IS NOT NULL`,
    `CREATE INDEX durable_streams_forked_from ON ${schema}.durable_streams (forked_from) WHERE forked_from IS NOT NULL`,
  ];
}
