// SPDX-License-Identifier: MIT
import { CodedError } from '../errors.ts';

/** The demo found a difference between before and after. */
export class DemoError extends CodedError<'ERR_DEMO_CHECKSUM' | 'ERR_DEMO_ADDRESSES' | 'ERR_DEMO_ALIVE'> {}
