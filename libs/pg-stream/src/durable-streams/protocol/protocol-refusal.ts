/** What the protocol answers instead of doing what was asked. Nothing was changed. */
export class ProtocolRefusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.name = 'ProtocolRefusal';
  }
}

/** Pure. */
export function isProtocolRefusal(error: unknown): error is ProtocolRefusal {
  return typeof error === 'object' && error !== null && (error as { name?: unknown }).name === 'ProtocolRefusal';
}

export function badRequest(message: string): ProtocolRefusal {
  return new ProtocolRefusal(400, 'BAD_REQUEST', message);
}

export function conflict(message: string): ProtocolRefusal {
  return new ProtocolRefusal(409, 'CONFLICT', message);
}

export function notFound(stream: string): ProtocolRefusal {
  return new ProtocolRefusal(404, 'STREAM_NOT_FOUND', `there is no stream '${stream}'.`);
}

/** A name that was deleted while forks of it live. */
export function gone(stream: string): ProtocolRefusal {
  return new ProtocolRefusal(410, 'STREAM_DELETED', `the stream '${stream}' was deleted; forks of it live on.`);
}

const STATUS_OF: Readonly<Record<string, number>> = {
  STREAM_NAME_INVALID: 400,
  CURSOR_INVALID: 400,
  OPTIONS_INVALID: 400,
  STREAM_NOT_FOUND: 404,
  CURSOR_TRIMMED: 410,
  STREAM_DELETED: 404,
  STREAM_CLOSED: 409,
  CHUNK_TOO_LARGE: 413,
  STREAM_BUSY: 503,
  STREAM_UNAVAILABLE: 503,
  APPEND_UNKNOWN: 503,
  WRITER_QUEUE_FULL: 503,
  SHUTTING_DOWN: 503,
};

/** The status for a typed error of the module; 500 for anything else. Pure. */
export function statusOf(code: string | undefined): number {
  return STATUS_OF[code ?? ''] ?? 500;
}
