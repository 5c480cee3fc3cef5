import { HttpException } from '@nestjs/common';

/** A refusal as RFC 9457 has it. `code` is stable: match on it. */
export interface ProblemBody {
  readonly type: 'about:blank';
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  /** One for each field that is wrong. */
  readonly errors?: readonly { readonly field: string; readonly message: string }[];
}

/** Thrown by controllers; the filter writes its body as `application/problem+json`. */
export class Problem extends HttpException {
  constructor(
    status: number,
    readonly code: string,
    detail: string,
    readonly errors?: ProblemBody['errors'],
  ) {
    super(detail, status);
  }
}
