// SPDX-License-Identifier: MIT
/**
 * What the driver's results mean to a user of the checkpoint API.
 * @module
 */
import { CodedError } from '../errors.ts';
import { cudaResultName } from './cuda-results.ts';

const hints: Readonly<Record<string, string>> = {
  CUDA_ERROR_NOT_INITIALIZED:
    'the process has not initialized CUDA, or this user may not look at it (root, or CAP_SYS_PTRACE, is needed)',
  CUDA_ERROR_OPERATING_SYSTEM: 'there is no such process any more, or this user may not look at it',
  CUDA_ERROR_NOT_READY:
    'its GPU work did not end in time: raise the timeout, or wait for a long kernel to end',
  CUDA_ERROR_ILLEGAL_STATE: 'the order is lock, checkpoint, restore, unlock; see criu-cuda process state PID',
  CUDA_ERROR_NOT_SUPPORTED:
    'the process holds something this driver cannot checkpoint, such as memory imported from another process',
  CUDA_ERROR_OUT_OF_MEMORY: 'the GPU, or the host, has not enough free memory for what was saved',
  CUDA_ERROR_NO_DEVICE: 'no usable GPU: see criu-cuda doctor',
  CUDA_ERROR_INVALID_DEVICE: 'the device map must name every GPU of the process, and GPUs of the same type',
};

/** A call into the driver failed; `code` is `ERR_DRIVER_<name without CUDA_ERROR_>`. */
export class DriverError extends CodedError<`ERR_DRIVER_${string}`> {
  /** `cuCheckpointProcessLock` … */
  readonly call: string;
  /** The CUresult. */
  readonly result: number;
  /** `CUDA_ERROR_NOT_READY` … */
  readonly resultName: string;
  /** The process that was asked about. */
  readonly pid: number;

  constructor(call: string, result: number, pid: number) {
    const resultName = cudaResultName(result);
    const hint = hints[resultName];
    super(
      `ERR_DRIVER_${resultName.replace(/^CUDA_(ERROR_)?/, '')}`,
      `${call} of ${pid}: ${resultName} (${result})`,
      hint === undefined ? {} : { hint },
    );
    this.call = call;
    this.result = result;
    this.resultName = resultName;
    this.pid = pid;
  }
}

/**
 * The driver was not asked about a process because its restore thread is stopped (`ERR_DRIVER_THREAD_STOPPED`), or gave a
 * state that this program does not know (`ERR_DRIVER_STATE`).
 */
export class ProcessStateError extends CodedError<'ERR_DRIVER_STATE' | 'ERR_DRIVER_THREAD_STOPPED'> {}
