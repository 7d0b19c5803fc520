// SPDX-License-Identifier: MIT
import { RestoreError } from './error.ts';
import type { RestoredProcess, RestoreOptions } from './restore.ts';

/**
 * Restores; and once more, with all host memory filled first, when the driver has failed while a part of it was still
 * being filled: it may need memory that nobody could know of. The first try has left nothing.
 */
export async function againWithoutLate(
  options: RestoreOptions,
  restore: (options: RestoreOptions) => Promise<RestoredProcess>,
): Promise<RestoredProcess> {
  try {
    return await restore(options);
  } catch (error) {
    if (!(error instanceof RestoreError && error.hasLateFailed)) throw error;
    const restored = await restore({ ...options, env: { ...options.env, CRIU_CUDA_LATE_MEMORY: '0' } });
    restored.result.warnings.push(
      `${error.message}; the second try, with CRIU_CUDA_LATE_MEMORY=0, has succeeded`,
    );
    return restored;
  }
}
