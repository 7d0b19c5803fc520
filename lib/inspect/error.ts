// SPDX-License-Identifier: MIT
import { CodedError } from '../errors.ts';

/** A plugin file or directory cannot be read (`ERR_INSPECT_READ`), or is damaged (`ERR_INSPECT_ELF`). */
export class InspectError extends CodedError<'ERR_INSPECT_READ' | 'ERR_INSPECT_ELF'> {}
