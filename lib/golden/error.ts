// SPDX-License-Identifier: MIT
import { CodedError } from '../errors.ts';

/**
 * A golden checkpoint is damaged or its server gives a different answer (`ERR_GOLDEN`); or it does not exist, or a
 * container is in its way (`ERR_GOLDEN_STATE`).
 */
export class GoldenError extends CodedError<'ERR_GOLDEN' | 'ERR_GOLDEN_STATE'> {}
