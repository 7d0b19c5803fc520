// SPDX-License-Identifier: MIT
/**
 * The daemon's part of a snapshot.
 * @module
 */
import { existsSync } from 'node:fs';
import { EnvironmentError } from '../errors.ts';
import { listGpuProcesses, NvmlError, type GpuProcess } from '../gpu/index.ts';
import type { PoolContext, PoolWork } from '../pool/index.ts';
import type { PoolContextUse, PoolUse } from './types.ts';

/** A daemon that takes longer is listed as absent. */
const ANSWER_MS = 2000;

/** Measures the device memory of the daemon's contexts by what NVML reports for its process. */
export class OverheadMeter {
  /** The last values; the memory of a context does not change. */
  readonly #measured = new Map<string, number>();

  /** @param isIdle no operation is in progress: NVML may count the memory of one for two processes */
  measure(
    pid: number,
    { uuid, memoryBytes }: PoolContext,
    isIdle: boolean,
    gpus: readonly GpuProcess[],
  ): PoolContextUse {
    const key = `${pid} ${uuid}`;
    const used = gpus.find((gpu) => gpu.pid === pid && gpu.deviceUuid === uuid)?.usedBytes ?? null;
    if (isIdle && used !== null) this.#measured.set(key, Math.max(0, used - memoryBytes));
    return { uuid, memoryBytes, overheadBytes: this.#measured.get(key) ?? null };
  }
}

/** The daemon's contexts with their overhead, which is `null` when NVML does not answer. */
export async function measurePool(work: PoolWork): Promise<PoolContextUse[]> {
  const gpus = await listGpuProcesses().catch((error: unknown) => {
    if (error instanceof EnvironmentError || error instanceof NvmlError) return [];
    throw error;
  });
  const meter = new OverheadMeter();
  return work.contexts.map((context) => meter.measure(work.pid, context, work.operations.length === 0, gpus));
}

export class PoolReader {
  readonly runDir: string;
  readonly #pool: typeof import('../pool/index.ts');
  readonly #meter = new OverheadMeter();

  private constructor(runDir: string, pool: typeof import('../pool/index.ts')) {
    this.runDir = runDir;
    this.#pool = pool;
  }

  static async open(runDir: string | undefined): Promise<PoolReader> {
    // its parser takes longer to load than all of the rest
    const pool = await import('../pool/index.ts');
    return new PoolReader(pool.poolRunDir({ runDir }), pool);
  }

  /** `null`: no daemon answers, or one of an earlier version does. */
  async read(): Promise<PoolWork | null> {
    const { controlSocket, readPoolWork, PoolError } = this.#pool;
    if (!existsSync(controlSocket(this.runDir))) return null;
    try {
      return await readPoolWork({ runDir: this.runDir, signal: AbortSignal.timeout(ANSWER_MS) });
    } catch (error) {
      if (error instanceof PoolError) return null;
      throw error;
    }
  }

  withOverhead(work: PoolWork | null, gpus: readonly GpuProcess[]): PoolUse | null {
    if (!work) return null;
    const isIdle = work.operations.length === 0;
    return {
      ...work,
      contexts: work.contexts.map((context) => this.#meter.measure(work.pid, context, isIdle, gpus)),
    };
  }
}
