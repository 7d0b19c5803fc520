// SPDX-License-Identifier: MIT
/** Two restores of one checkpoint that one program makes at the same time, with real CRIU. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkpoint } from '../../../lib/checkpoint/index.ts';
import { isAlive } from '../../../lib/process/index.ts';
import { restore } from '../../../lib/restore/index.ts';
import { startSleeping, type Sleeping } from '../../helpers/sleeping.ts';

let program: Sleeping;
beforeEach(async () => {
  program = await startSleeping();
});
afterEach(() => program.remove());

it('one is refused, and does not end what the other has restored', async () => {
  const { options, pid } = program;
  await checkpoint({ ...options, pid });
  const done = await Promise.allSettled([1, 2].map(() => restore(options)));
  expect(done.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  expect(done.find(({ status }) => status === 'rejected')).toMatchObject({
    reason: { code: 'ERR_RESTORE_PID_TAKEN' },
  });
  expect(isAlive(pid)).toBe(true);
});
