// SPDX-License-Identifier: MIT
import { CodedError } from '../errors.ts';

/** A GPU image is damaged, incomplete or of another version. The message names file and field. */
export class GpuImageError extends CodedError<'ERR_GPU_IMAGE'> {
  constructor(message: string, cause?: unknown) {
    super('ERR_GPU_IMAGE', message, {
      hint: 'dump the process again, or copy the images directory again',
      cause,
    });
  }
}
