// SPDX-License-Identifier: MIT
import { expect, it } from 'vitest';
import { checkpointError } from '../../../lib/checkpoint/error.ts';
import type { CriuResult, CriuRun } from '../../../lib/criu/index.ts';
import { CommandError } from '../../../lib/errors.ts';

const run = {
  stage: 'dump',
  criu: '/usr/sbin/criu',
  args: [],
  workDir: '/images',
  runDir: '/run/criu-cuda',
} as unknown as CriuRun;

/** A run of criu in which the driver's lock failed. */
const refusedLock = (name: string): CriuResult =>
  ({
    exitCode: 1,
    stderr: '',
    log: { errors: [] },
    status: { tasks: [], steps: [{ pid: 7, step: 'lock', result: 801, name, ms: 0.1 }] },
  }) as unknown as CriuResult;

it('says that a profiler is in the way when the driver does not support locking the process', () => {
  const error = checkpointError(7, run, refusedLock('CUDA_ERROR_NOT_SUPPORTED'));
  expect(error.message).toBe("cannot dump 7: driver's lock of 7: CUDA_ERROR_NOT_SUPPORTED (801)");
  expect(error.hint).toMatch(/^a profiler is attached .*torch\.profiler/);
});

it('refers to the log after any other failure of the lock', () => {
  expect(checkpointError(7, run, refusedLock('CUDA_ERROR_NOT_READY')).hint).toBe(
    'the log is /images/dump.log',
  );
});

it('says that the time was over, not what that led to', () => {
  const message = 'criu did not finish in 5 ms';
  const facts = {
    ...{ command: 'criu dump', exitCode: 1, signal: undefined, timedOut: true },
    ...{ durationMs: 5, tail: '' },
  };
  const error = new CommandError('ERR_COMMAND_RUN', message, facts);
  const result = { stderr: '', log: { errors: [], message: 'One of more action scripts failed' }, error };
  expect(checkpointError(7, run, result as unknown as CriuResult).message).toBe(`cannot dump 7: ${message}`);
});
