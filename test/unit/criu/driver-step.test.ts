// SPDX-License-Identifier: MIT
import { expect, it } from 'vitest';
import { failedStep, stepFailure, type DriverStep } from '../../../lib/criu/index.ts';

const step = (name: DriverStep['step'], result: number, pid = 7): DriverStep => ({
  ...{ pid, step: name, result, ms: 1 },
  name: result === 0 ? 'CUDA_SUCCESS' : 'CUDA_ERROR_NOT_PERMITTED',
});

it('is the first call that failed', () => {
  const failed = step('checkpoint', 800);
  expect(failedStep([step('lock', 0), failed, step('restore', 800), step('unlock', 0)])).toBe(failed);
  expect(failedStep([step('lock', 0)])).toBeUndefined();
});

it('is not a call that was made again: the last time counts', () => {
  const again = step('checkpoint', 0);
  expect(failedStep([step('checkpoint', 304), again])).toBeUndefined();
  const failed = { ...step('checkpoint', 800), reason: 'no room' };
  expect(failedStep([step('checkpoint', 304), failed])).toBe(failed);
  const other = step('checkpoint', 304, 8);
  expect(failedStep([other, again])).toBe(other);
});

it('is described by its reason, or by its result', () => {
  expect(stepFailure({ ...step('restore', 304), reason: 'cuda-7-0.img: wrong' })).toBe('cuda-7-0.img: wrong');
  expect(stepFailure(step('lock', 800))).toBe('CUDA_ERROR_NOT_PERMITTED (800)');
});
