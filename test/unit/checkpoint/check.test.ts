// SPDX-License-Identifier: MIT
import { afterEach, describe, expect, it } from 'vitest';
import { checkProcess } from '../../../lib/checkpoint/index.ts';
import { startPlainProcess } from '../../helpers/machine.ts';

const NOBODY = 65534;

describe.skipIf(process.geteuid?.() !== 0)('a user who is not root', () => {
  afterEach(() => process.seteuid?.(0));

  it('is not told that a process of another user does not use CUDA', async () => {
    const { pid, ended } = startPlainProcess();
    process.seteuid?.(NOBODY);
    const check = checkProcess({ pid });
    await expect(check).rejects.toMatchObject({
      code: 'ERR_ENVIRONMENT',
      message: `cannot look at process ${pid}: permission denied`,
      missing: [{ remedy: 'run as root' }],
    });
    process.seteuid?.(0);
    process.kill(pid);
    await ended;
  });
});
