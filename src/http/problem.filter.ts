import { STATUS_CODES } from 'node:http';
import { BatonError, describeError, errorCode } from '@nest-baton/core';
import {
  type ArgumentsHost,
  Catch,
  type ExceptionFilter,
  HttpException,
  Logger,
  ServiceUnavailableException,
} from '@nestjs/common';
import type { Request, Response } from 'express';
import { Problem, type ProblemBody } from './problem.js';

/** What a refusal of ours means to an HTTP client. A code that is not here is our own failure: 500. */
const STATUS_OF_CODE: Readonly<Record<string, number>> = {
  CURSOR_INVALID: 400,
  STREAM_NOT_FOUND: 404,
  EVENT_CONFLICT: 409,
  ENDPOINT_INVALID: 422,
  EVENT_INVALID: 422,
  PAYLOAD_TOO_LARGE: 413,
  SHUTTING_DOWN: 503,
  REDIS_UNAVAILABLE: 503,
  STREAM_UNAVAILABLE: 503,
};

/** Of the system, of Postgres, or of neither: the database cannot be asked just now, and the same request may succeed later. */
const IS_AWAY = /^(ECONN(REFUSED|RESET)|EPIPE|ETIMEDOUT|EHOSTUNREACH|57P0[123]|08...|53300)$/;
const IS_AWAY_MESSAGE = /connection terminated|timeout exceeded when trying to connect|query read timeout/i;

/** Turns whatever a request ends with into a problem response. Details of our own failures go to the log, not to the client. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  private readonly logger = new Logger(ProblemFilter.name);

  catch(error: unknown, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse<Response>();
    const request = host.switchToHttp().getRequest<Request>();
    const report = healthReport(error);
    if (report !== undefined) return void response.status(503).json(report);
    const problem = toProblem(error);
    if (problem.status >= 500)
      this.logger.error('a request failed', {
        method: request.method,
        path: request.path,
        error: describeError(error),
      });
    if (response.headersSent) return void response.destroy();
    response.status(problem.status).type('application/problem+json').send(JSON.stringify(problem));
  }
}

/** Pure. */
export function toProblem(error: unknown): ProblemBody {
  if (error instanceof Problem) return body(error.getStatus(), error.code, error.message, error.errors);
  if (error instanceof BatonError) {
    const status = STATUS_OF_CODE[error.code];
    if (status !== undefined) return body(status, error.code, error.message);
  }
  if (error instanceof HttpException) return fromFramework(error.getStatus());
  if (IS_AWAY.test(errorCode(error) ?? '') || IS_AWAY_MESSAGE.test(describeError(error)))
    return body(503, 'DATABASE_UNAVAILABLE', 'The database cannot be reached just now; try again.');
  return body(500, 'INTERNAL', 'The request failed here; the log of the service says why.');
}

/** What Nest and its body parser refuse. Their messages may quote the request, so ours stand in their place. */
function fromFramework(status: number): ProblemBody {
  switch (status) {
    case 400:
      return body(400, 'BODY_UNREADABLE', 'The request body cannot be read as JSON.');
    case 404:
      return body(404, 'NOT_FOUND', 'There is nothing at this path.');
    case 413:
      return body(413, 'BODY_TOO_LARGE', 'The request body is larger than this service takes.');
    default:
      return body(status, 'HTTP', STATUS_CODES[status] ?? 'The request was refused.');
  }
}

/** Terminus throws its report: which indicator is down is what its reader asks for. */
function healthReport(error: unknown): object | undefined {
  if (!(error instanceof ServiceUnavailableException)) return undefined;
  const report = error.getResponse();
  return typeof report === 'object' && 'details' in report ? report : undefined;
}

function body(status: number, code: string, detail: string, errors?: ProblemBody['errors']): ProblemBody {
  const problem: ProblemBody = { type: 'about:blank', title: STATUS_CODES[status] ?? 'Error', status, code, detail };
  return errors === undefined ? problem : { ...problem, errors };
}
