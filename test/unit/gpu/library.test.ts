// SPDX-License-Identifier: MIT
/** Without a driver, a remedy names the software driver, if it is there. */
import { constants } from 'node:os';
import { expect, it } from 'vitest';
import { openError } from '../../../lib/gpu/library.ts';
import { softcudaRemedy } from '../../../lib/gpu/index.ts';
import { nativeFailure } from '../../../lib/native/errors.ts';

it('is the remedy where no libcuda is found', () => {
  const failure = nativeFailure('open', 'none', 'libcuda.so.1', constants.errno.ENOENT);
  expect(openError(failure, '', undefined)).toMatchObject({
    missing: [{ what: 'libcuda.so.1', remedy: expect.stringContaining(softcudaRemedy()) as string }],
  });
});

it('is named with its path only if it is built', () => {
  expect(softcudaRemedy(import.meta.filename)).toContain(`CRIU_CUDA_DRIVER to ${import.meta.filename}`);
  expect(softcudaRemedy('/no/such/libcuda.so.1')).toBe('');
});
