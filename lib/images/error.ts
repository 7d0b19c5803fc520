// SPDX-License-Identifier: MIT
import { ToolkitError } from '../errors.ts';

/** A GPU image that is damaged, incomplete or of another version. The message names file and field. */
export class GpuImageError extends ToolkitError {
  constructor(message: string, cause?: unknown) {
    super('ERR_GPU_IMAGE', message, {
      hint: 'dump the process again, or copy the images directory again',
      cause,
    });
  }
}
