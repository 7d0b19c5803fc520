// SPDX-License-Identifier: MIT
/** How the time of an operation was spent, in results and in what the program prints. @module */
import { z } from 'zod';

export const phaseSchema = z.object({
  part: z.enum(['criu', 'driver', 'plugin', 'podman', 'application']),
  name: z.string(),
  durationMs: z.number().nonnegative(),
});
