// SPDX-License-Identifier: MIT
import { CodedError } from '../errors.ts';

/**
 * A registry cannot be reached or refuses, or a transfer ended early (`ERR_REGISTRY`); or what is in it or in the cache is
 * damaged, or not a checkpoint (`ERR_REGISTRY_IMAGE`). Nothing was restored, and the destination is as it was.
 */
export class RegistryError extends CodedError<'ERR_REGISTRY' | 'ERR_REGISTRY_IMAGE'> {}
