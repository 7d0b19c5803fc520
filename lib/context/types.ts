// SPDX-License-Identifier: MIT
import type { PoolContext, PoolWork } from '../pool/index.ts';
import type { Container } from '../process/index.ts';

/**
 * Where the device memory of a process is. `application`: on the device, it belongs to the process. `pool`: an operation
 * of the pool is moving it; of a pool's own process, it belongs to the pool. `held`: saved, and kept by the pool until
 * criu ends. `standby`: the pool has it, or loads it, for a process that is stopped until it is woken. `checkpointed`: the
 * driver has moved it to host memory of the process.
 */
export type OwnerKind = 'application' | 'pool' | 'held' | 'standby' | 'checkpointed';

/** Who has the memory. Numbers are `null` where they do not apply or are unknown. */
export interface MemoryOwner {
  /** Where the memory is. */
  kind: OwnerKind;
  /** Number of the pool's operation, as in the run directory. */
  operation: number | null;
  /** The daemon, or the helper of one run of criu. */
  poolPid: number | null;
  /** The criu that dumps or restores the process. */
  criuPid: number | null;
}

/** The interceptor in a process. */
export interface InterceptorState {
  /** Its service thread. */
  tid: number;
  /** `closed`: CUDA calls of the program wait until its memory is back. */
  gate: 'open' | 'closed';
}

/** A MIG instance, by NVML's numbers. */
export interface MigInstance {
  /** Of the GPU instance. */
  gpuInstanceId: number;
  /** Of the compute instance in it. */
  computeInstanceId: number;
}

/** What a process has on one GPU. A process that is on no GPU at present, such as a checkpointed one, has one entry, too. */
export interface GpuContext {
  /** In this program's PID namespace. */
  pid: number;
  /** Clock ticks since boot; with the pid it names the process. */
  startTime: number;
  /** Command line. */
  command: string;
  /** `null` outside containers, and where the cgroup does not tell. */
  container: Container | null;
  /** UUID of the GPU; `null` when it is on none, or without NVML. */
  deviceUuid: string | null;
  /** `null` on a GPU that is not split. */
  mig: MigInstance | null;
  /** Device memory it uses on this GPU, its context included, bytes; `null` when the driver does not report it. */
  usedBytes: number | null;
  /** The driver's word; `stopped`: not asked, because the thread that the driver works in is stopped. */
  state: 'running' | 'locked' | 'checkpointed' | 'failed' | 'checkpointing' | 'restoring' | 'stopped';
  /** Who has its memory. */
  owner: MemoryOwner;
  /** `null` without the interceptor. */
  interceptor: InterceptorState | null;
  /** `true` for the pool's contexts, which are primary ones; `null` for programs, whose contexts cannot be seen. */
  isPrimary: boolean | null;
}

/** A context of the pool daemon. */
export interface PoolContextUse extends PoolContext {
  /**
   * Device memory of the context itself: what NVML reports beyond {@link PoolContext.memoryBytes}. `null` when NVML does
   * not report it, or has only been asked while operations were in progress, whose memory may count twice.
   */
  overheadBytes: number | null;
}

/** The pool daemon of the run directory. */
export interface PoolUse extends Omit<PoolWork, 'contexts'> {
  /** Its contexts, one for each GPU in use. */
  contexts: PoolContextUse[];
}

/** All contexts at one moment. */
export interface ContextSnapshot {
  /** By pid, then GPU. */
  contexts: GpuContext[];
  /** `null` when no daemon answers. */
  pool: PoolUse | null;
}
