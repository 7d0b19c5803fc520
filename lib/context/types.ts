// SPDX-License-Identifier: MIT
import type { PoolContext, PoolWork } from '../pool/index.ts';
import type { Container } from './container.ts';

/**
 * Where the device memory of a process is. `application`: its own, on the device. `pool`: an operation of the pool is
 * moving it; for the pool's processes, what is theirs. `held`: saved, and kept by the pool until criu has ended.
 * `standby`: the pool has it, or loads it, for a process that is stopped until it is woken. `checkpointed`: the driver
 * has moved it to host memory of the process.
 */
export type OwnerKind = 'application' | 'pool' | 'held' | 'standby' | 'checkpointed';

/** Who has the memory. Numbers are `null` where they do not apply or are not known. */
export interface MemoryOwner {
  kind: OwnerKind;
  /** Number of the pool's operation, as in the run directory. */
  operation: number | null;
  /** The daemon, or the helper of one run of criu. */
  poolPid: number | null;
  criuPid: number | null;
}

/** The interceptor in a process. */
export interface InterceptorState {
  /** Its service thread. */
  tid: number;
  /** `closed`: CUDA calls of the program wait until its memory is back. */
  gate: 'open' | 'closed';
}

/** What a process has on one GPU. A process with none there at present, as a checkpointed one, has one of these, too. */
export interface GpuContext {
  pid: number;
  /** Clock ticks since boot; with the pid it names the process. */
  startTime: number;
  /** Command line. */
  command: string;
  /** `null` outside containers, and where the cgroup does not tell. */
  container: Container | null;
  /** UUID of the GPU; `null` when it is on none, or NVML does not tell. */
  deviceUuid: string | null;
  /** NVML's numbers of the MIG instance; `null` on a GPU that is not split. */
  mig: { gpuInstanceId: number; computeInstanceId: number } | null;
  /** Device memory it holds on this GPU, bytes. */
  usedBytes: number | null;
  /** The driver's word; `stopped`: not asked, because the thread that it works in is stopped. */
  state: 'running' | 'locked' | 'checkpointed' | 'failed' | 'stopped';
  owner: MemoryOwner;
  interceptor: InterceptorState | null;
  /** Whether the context is the primary one: `true` for the pool's, `null` for programs, whose contexts cannot be seen. */
  isPrimary: boolean | null;
}

/** A context of the daemon. */
export interface PoolContextUse extends PoolContext {
  /**
   * Device memory of the context itself: what NVML reports beyond {@link PoolContext.memoryBytes}. `null` when NVML does
   * not tell, or has only been asked during operations, whose memory may count twice.
   */
  overheadBytes: number | null;
}

/** The daemon of the run directory. */
export interface PoolUse extends Omit<PoolWork, 'contexts'> {
  contexts: PoolContextUse[];
}

/** All contexts at one moment. */
export interface ContextSnapshot {
  /** By pid, then GPU. */
  contexts: GpuContext[];
  /** `null` when no daemon answers. */
  pool: PoolUse | null;
}
