// SPDX-License-Identifier: MIT
/** The tests of wait.test.ts once more, without the addon. */
import { vi } from 'vitest';

vi.stubEnv('CRIU_CUDA_NATIVE', 'koffi');
await import('./wait.test.ts');
