// SPDX-License-Identifier: MIT
import { SelftestError } from './error.ts';

/** @throws {@link SelftestError} ERR_SELFTEST with the message */
export function ensure(condition: boolean, message: string): void {
  if (!condition) throw new SelftestError('ERR_SELFTEST', message);
}

/** @throws {@link SelftestError} ERR_SELFTEST naming what differs */
export function ensureSame(what: string, before: string, after: string): void {
  ensure(before === after, `${what} changed: ${before.slice(0, 200)} became ${after.slice(0, 200)}`);
}
