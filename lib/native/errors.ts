// SPDX-License-Identifier: MIT
import { constants } from 'node:os';
import { CodedError } from '../errors.ts';
import type { NativeFailure } from './types.ts';

const errnoNames = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));
// two names of one number
errnoNames.set(constants.errno.EAGAIN, 'EAGAIN');
errnoNames.set(constants.errno.EOPNOTSUPP, 'EOPNOTSUPP');

/** A system call failed; `code` is `ERR_SYSTEM_<errno name>`. */
export class SystemCallError extends CodedError<`ERR_SYSTEM_${string}`> {
  /** The number behind the name in `code`. */
  readonly errno: number;

  constructor(call: string, errno: number, hint?: string) {
    const name = errnoNames.get(errno) ?? 'UNKNOWN';
    super(`ERR_SYSTEM_${name}`, `${call}: ${name} (${errno})`, { hint });
    this.errno = errno;
  }
}

const kinds: readonly unknown[] = ['open', 'nvml', 'system'] satisfies NativeFailure['kind'][];

export function isNativeFailure(error: unknown): error is NativeFailure {
  return error instanceof Error && 'kind' in error && kinds.includes(error.kind);
}

/** The same as the addon rejects with. */
export function nativeFailure(
  kind: NativeFailure['kind'],
  message: string,
  call?: string,
  result?: number,
): NativeFailure {
  return Object.assign(new Error(message), { kind }, call === undefined ? {} : { call, result: result ?? 0 });
}
