// SPDX-License-Identifier: MIT
import { CodedError } from '../errors.ts';

/** A check of the self-test failed: something is not what it was before the dump. */
export class SelftestError extends CodedError<'ERR_SELFTEST'> {}
