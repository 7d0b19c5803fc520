// SPDX-License-Identifier: MIT
/**
 * What the memory of the processes went through, from the lines of the plugin's status file.
 * @module
 */
import * as v from 'valibot';
import { formatBytes } from '../../output.ts';
import { amount, whole } from '../../number-shapes.ts';

const bytes = amount;
const pid = whole(0);
const by = v.picklist(['daemon', 'helper']);

/** Who copied, and with what; earlier versions do not say it. */
export const copyFields = {
  by: v.optional(by),
  bytes: v.optional(bytes),
  storage: v.optional(v.boolean()),
  streams: v.optional(whole(1)),
  chunk_mb: v.optional(whole(1)),
  asked_streams: v.optional(whole(1)),
  asked_chunk_mb: v.optional(whole(1)),
  scan_zero_bytes: v.optional(bytes),
  scan_error: v.optional(v.string()),
  reused_bytes: v.optional(bytes),
  reuse_error: v.optional(v.string()),
};

export const memoryLine = v.object({
  event: v.literal('memory'),
  pid,
  driver_bytes: bytes,
  page_bytes: bytes,
  criu_bytes: bytes,
  reason: v.string(),
});
export const fallbackLine = v.object({
  event: v.literal('fallback'),
  pid,
  from: by,
  to: v.picklist(['helper', 'driver']),
  reason: v.string(),
});

/** Device memory that a pool moved. */
export interface PoolMemory {
  /** The daemon, or a helper that served only this run. */
  by: 'daemon' | 'helper';
  /** Bytes of device memory. */
  bytes: number;
  /** The driver handed it over (custom storage), not an interceptor. */
  isDrivers: boolean;
  /** Of a restore: from files, or from an image that was in device memory already. */
  source: 'files' | 'resident' | 'golden' | undefined;
  /** CRIU_CUDA_STREAMS that it used; `undefined` when nothing was copied. */
  streams: number | undefined;
  /** CRIU_CUDA_CHUNK_MB that it used. */
  chunkMb: number | undefined;
  /** CRIU_CUDA_STREAMS of the caller, when the pool has fewer. */
  askedStreams: number | undefined;
  /** CRIU_CUDA_CHUNK_MB of the caller, when the buffers of the pool are smaller. */
  askedChunkMb: number | undefined;
  /** Of a dump: bytes that the device found to be zero, which were not copied; `undefined` when it did not look. */
  zeroBytes: number | undefined;
  /** Of a dump: why a device could not look for zeroes, which were then found after the copy. */
  scanError: string | undefined;
  /** Of a dump against an earlier checkpoint: bytes that are in it, and were not written; otherwise `undefined`. */
  reusedBytes: number | undefined;
  /** Of such a dump: what of the earlier checkpoint could not be used. All memory is saved. */
  reuseError: string | undefined;
}

/** What the memory of one process went through. */
export interface TaskMemory {
  /** Pid in the namespace of criu. */
  pid: number;
  /** Device memory that bypassed the driver and CRIU; `undefined`: none did. */
  pool: PoolMemory | undefined;
  /** Whether the pool still has it: of a standby until it is woken, or of a process that runs and has not taken it yet. */
  isPending: boolean;
  /** Why the pool moved none; `undefined` when it did, or at a restore. */
  reason: string | undefined;
  /** What the driver saved to host memory, or brought back from there; part of the next two. Bytes. */
  driverBytes: number;
  /** Host memory in the page file of the process. Bytes. */
  pageFileBytes: number;
  /** Memory in CRIU's own images, about: the kernel's counters are not exact. Bytes. */
  criuBytes: number;
}

/** One that could not do the work, and what took its place. */
export interface Fallback {
  /** The process; 0: all of them. */
  pid: number;
  /** What could not do it. */
  from: 'daemon' | 'helper';
  /** What did it instead. */
  to: 'helper' | 'driver';
  /** Why. */
  reason: string;
}

/** The line of a pool that has saved a process's memory, or given it to the process. */
export interface PoolLine {
  pid: number;
  result: number;
  by?: 'daemon' | 'helper' | undefined;
  bytes?: number | undefined;
  storage?: boolean | undefined;
  source?: string | undefined;
  streams?: number | undefined;
  chunk_mb?: number | undefined;
  asked_streams?: number | undefined;
  asked_chunk_mb?: number | undefined;
  scan_zero_bytes?: number | undefined;
  scan_error?: string | undefined;
  reused_bytes?: number | undefined;
  reuse_error?: string | undefined;
}

const isSource = (source: string | undefined): source is 'files' | 'resident' | 'golden' =>
  source === 'files' || source === 'resident' || source === 'golden';

function poolMemory(line: PoolLine | undefined): PoolMemory | undefined {
  if (line?.by === undefined) return undefined;
  const { source } = line;
  return {
    by: line.by,
    bytes: line.bytes ?? 0,
    isDrivers: line.storage ?? false,
    source: isSource(source) ? source : undefined,
    streams: line.streams,
    chunkMb: line.chunk_mb,
    askedStreams: line.asked_streams,
    askedChunkMb: line.asked_chunk_mb,
    zeroBytes: line.scan_zero_bytes,
    scanError: line.scan_error,
    reusedBytes: line.reused_bytes,
    reuseError: line.reuse_error,
  };
}

/**
 * Puts the lines about each process together.
 * @param pools of a dump: the pool has saved its memory; of a restore: it has given it to the process
 * @param pending pids of processes to which the pool is to give their memory
 */
export function taskMemory(
  lines: readonly v.InferOutput<typeof memoryLine>[],
  pools: readonly PoolLine[],
  pending: ReadonlySet<number>,
): TaskMemory[] {
  const latest = new Map(lines.map((line) => [line.pid, line]));
  return [...latest.values()].map((line) => ({
    pid: line.pid,
    pool: poolMemory(pools.findLast((one) => one.pid === line.pid && one.result === 0)),
    isPending: pending.has(line.pid),
    reason: line.reason === '' ? undefined : line.reason,
    driverBytes: line.driver_bytes,
    pageFileBytes: line.page_bytes,
    criuBytes: line.criu_bytes,
  }));
}

function poolText({
  by: who,
  bytes: moved,
  isDrivers,
  source,
  streams,
  chunkMb,
  zeroBytes,
  scanError,
  reusedBytes,
}: PoolMemory): string {
  const numbers = streams === undefined ? undefined : `${streams} streams, chunks of ${chunkMb ?? 0} MiB`;
  const how = [
    source === 'resident' || source === 'golden' ? source : numbers,
    zeroBytes === undefined || zeroBytes === 0 ? undefined : `${formatBytes(zeroBytes)} of zeroes not copied`,
    scanError === undefined ? undefined : `zeroes were copied: ${scanError}`,
    reusedBytes === undefined ? undefined : `${formatBytes(reusedBytes)} in the earlier checkpoint`,
  ].filter((part) => part !== undefined);
  const from = isDrivers ? ' from the driver' : '';
  return `pool ${formatBytes(moved)}${from} by the ${who}${how.length === 0 ? '' : ` (${how.join(', ')})`}`;
}

/** One line per process for people: `4711: pool 2 GiB by the daemon (8 streams, chunks of 16 MiB), page file …`. */
export function memoryText(memory: readonly TaskMemory[]): string[] {
  return memory.map(({ pid: one, pool, isPending, reason, driverBytes, pageFileBytes, criuBytes }) => {
    const driver = driverBytes === 0 ? undefined : `driver ${formatBytes(driverBytes)}`;
    const parts = [
      isPending ? 'device memory still in the pool' : pool && poolText(pool),
      driver === undefined || reason === undefined ? driver : `${driver} (${reason})`,
      pageFileBytes === 0 ? undefined : `page file ${formatBytes(pageFileBytes)}`,
      `CRIU's images ${formatBytes(criuBytes)}`,
    ];
    return `memory of ${one}: ${parts.filter((part) => part !== undefined).join(', ')}`;
  });
}

/** What the user asked for and did not get: sentences. */
export function memoryWarnings(memory: readonly TaskMemory[], fallbacks: readonly Fallback[]): string[] {
  const numbers = memory.flatMap(({ pool }) => {
    if (!pool) return [];
    const { by: who, streams, chunkMb, askedStreams, askedChunkMb } = pool;
    const fewer = [
      ...(askedStreams === undefined ? [] : [`${streams} streams, not ${askedStreams}`]),
      ...(askedChunkMb === undefined ? [] : [`chunks of ${chunkMb} MiB, not ${askedChunkMb}`]),
    ];
    return fewer.length === 0
      ? []
      : [
          `the ${who} uses ${fewer.join(' and ')}: it was started with no more; start it again with these settings`,
        ];
  });
  const unused = memory.flatMap(({ pid: one, pool }) => {
    if (pool?.reuseError === undefined) return [];
    const [what, is] = pool.reusedBytes === 0 ? ['nothing', 'used'] : ['a part', 'not used'];
    return [`${what} of the earlier checkpoint of ${one} is ${is}: ${pool.reuseError}`];
  });
  const replaced = fallbacks.map(({ pid: one, from, to, reason }) => {
    const what = one === 0 ? 'device memory' : `device memory of ${one}`;
    return `${what} is moved by ${to === 'driver' ? 'the driver' : 'a helper'} instead of the ${from}: ${reason}`;
  });
  return [...new Set([...numbers, ...unused, ...replaced])];
}
