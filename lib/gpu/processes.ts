// SPDX-License-Identifier: MIT
/**
 * Every CUDA process of the machine with its state, checkpointed ones included.
 * @module
 */
import { readdir } from 'node:fs/promises';
import type { CheckpointDriver } from './driver.ts';
import { DriverError, ProcessStateError } from './driver-error.ts';
import { EnvironmentError } from '../errors.ts';
import type { ProcessState } from '../native/index.ts';
import { describeProcess } from '../process/index.ts';
import { listGpuProcesses, type GpuOptions } from './devices.ts';

/** A process that the driver knows. */
export interface CudaProcess {
  /** In the PID namespace of this program. */
  pid: number;
  /** Its command line. */
  command: string;
  /** `stopped`: its restore thread is stopped, as under a debugger or a dump, so that the driver cannot be asked. */
  state: ProcessState | 'stopped';
  /** Device memory by GPU; empty when it holds none, or NVML does not tell. */
  devices: {
    /** `GPU-…` */
    uuid: string;
    /** `null` when the driver does not tell. */
    usedBytes: number | null;
  }[];
}

/** Questions to the driver at a time. */
const AT_ONCE = 8;

async function stateOf(driver: CheckpointDriver, pid: number): Promise<CudaProcess['state'] | undefined> {
  try {
    return await driver.state(pid);
  } catch (error) {
    if (error instanceof DriverError) return undefined; // no CUDA process, gone, or not ours to see
    if (error instanceof ProcessStateError && error.code === 'ERR_DRIVER_THREAD_STOPPED') return 'stopped';
    throw error;
  }
}

async function devicesByPid(options: GpuOptions): Promise<Map<number, CudaProcess['devices']>> {
  const byPid = new Map<number, CudaProcess['devices']>();
  try {
    for (const { pid, deviceUuid, usedBytes } of await listGpuProcesses(options)) {
      byPid.set(pid, [...(byPid.get(pid) ?? []), { uuid: deviceUuid, usedBytes }]);
    }
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error; // the driver alone knows the states
  }
  return byPid;
}

/**
 * Asks the driver about every process of this PID namespace, and NVML for the memory. Sorted by pid.
 * @param driver from `openDriver`
 * @throws `NvmlError`; a machine without NVML has no `devices`
 */
export async function listCudaProcesses(
  driver: CheckpointDriver,
  options: GpuOptions = {},
): Promise<CudaProcess[]> {
  const devices = await devicesByPid({ ...options, driver: options.driver ?? driver.path });
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found: CudaProcess[] = [];
  const next = pids.values();
  const asker = async (): Promise<void> => {
    for (const pid of next) {
      options.signal?.throwIfAborted();
      const state = await stateOf(driver, pid);
      if (!state) continue;
      found.push({ pid, command: await describeProcess(pid), state, devices: devices.get(pid) ?? [] });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, asker));
  return found.sort((a, b) => a.pid - b.pid);
}
