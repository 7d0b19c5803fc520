// SPDX-License-Identifier: MIT
/**
 * Takes the GPU from processes that are about to be killed. Killing a live restored process has hung machines with some
 * drivers; one that the driver has checkpointed uses no GPU.
 * @module
 */
import { setMaxListeners } from 'node:events';
import { abortable } from '../abortable.ts';
import { describeError, ToolkitError } from '../errors.ts';
import {
  DriverError,
  listGpuProcesses,
  environmentOf,
  openDriver,
  ProcessStateError,
  type CheckpointDriver,
} from '../gpu/index.ts';
import { availableHostMemory } from '../machine/index.ts';
import { formatBytes } from '../output.ts';
import type { Environment } from '../paths.ts';
import { isAlive, isDescendant, readProcessTree } from '../process/index.ts';

/** How long the driver may take for all processes together. Milliseconds. */
export const DEFAULT_RELEASE_MS = 30_000;

/**
 * More device memory of a tree than this is not copied to host memory only to be dropped there: 30 GB take half a minute, and
 * as much host memory. Bytes.
 */
const MOST_COPIED_BYTES = 1024 ** 3;

export interface ReleaseOptions {
  timeoutMs?: number | undefined;
  /** A libcuda.so.1. @default the setting CRIU_CUDA_DRIVER */
  driver?: string | undefined;
  env?: Environment | undefined;
  /** With more device memory, processes are only locked. Bytes. @default 1 GiB, or less if the machine or a cgroup has no more */
  mostBytes?: number | undefined;
}

/** What became of one CUDA process. */
export interface ReleasedProcess {
  pid: number;
  isCheckpointed: boolean;
  /** Why it is not: only locked, or not even that. */
  reason?: string | undefined;
}

export interface ReleasedTree {
  /** The CUDA processes of the tree. */
  processes: ReleasedProcess[];
  /** Why the driver was not asked. */
  reason?: string | undefined;
}

interface Deadline {
  signal: AbortSignal;
  leftMs(): number;
  end(): void;
}

function startDeadline(timeoutMs: number): Deadline {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal); // one per process
  const end = performance.now() + timeoutMs;
  const timer = setTimeout(() => {
    controller.abort(new Error(`did not finish within ${timeoutMs / 1000} s`));
  }, timeoutMs);
  return {
    signal: controller.signal,
    leftMs: () => Math.max(1, Math.ceil(end - performance.now())),
    end: () => {
      clearTimeout(timer);
    },
  };
}

/** The driver copies device memory to host memory. @returns why it must not */
async function tooMuchMemory(
  driver: CheckpointDriver,
  pids: readonly number[],
  {
    mostBytes = Math.min(MOST_COPIED_BYTES, ...pids.map((pid) => availableHostMemory(pid) ?? Infinity)),
  }: ReleaseOptions,
  { signal }: Deadline,
): Promise<string | undefined> {
  const used = await listGpuProcesses({ driver: driver.path, signal }).catch(() => []);
  const bytes = used.reduce((sum, one) => sum + (pids.includes(one.pid) ? (one.usedBytes ?? 0) : 0), 0);
  if (bytes <= mostBytes) return undefined;
  return `locked, but not checkpointed: that would copy ${formatBytes(bytes)} of device memory to the host`;
}

/** @returns `undefined` for a process that the driver does not know */
async function releaseOne(
  driver: CheckpointDriver,
  pid: number,
  deadline: Deadline,
  tooMuch: string | undefined,
): Promise<ReleasedProcess | undefined> {
  let step = 'state';
  const run = <T>(name: string, call: () => Promise<T>): Promise<T> => {
    step = name;
    return abortable(call, deadline.signal);
  };
  try {
    const state = await run('state', () => driver.state(pid));
    if (state === 'running') await run('lock', () => driver.lock(pid, { timeoutMs: deadline.leftMs() }));
    if (state === 'running' || state === 'locked') {
      if (tooMuch !== undefined) return { pid, isCheckpointed: false, reason: tooMuch };
      await run('checkpoint', () => driver.checkpoint(pid));
    }
    if (state !== 'failed') return { pid, isCheckpointed: true };
    return { pid, isCheckpointed: false, reason: 'the driver says that it has failed' };
  } catch (error) {
    if (step === 'state' && error instanceof DriverError) return undefined;
    const reason =
      error instanceof ProcessStateError
        ? describeError(error)
        : `the driver's ${step}: ${describeError(error)}`;
    return { pid, isCheckpointed: false, reason };
  }
}

async function cudaProcesses(
  driver: CheckpointDriver,
  pids: readonly number[],
  deadline: Deadline,
): Promise<number[]> {
  const known = await Promise.all(
    pids.map((pid) =>
      abortable(() => driver.state(pid), deadline.signal).then(
        () => true,
        (error: unknown) => !(error instanceof DriverError),
      ),
    ),
  );
  return pids.filter((_, index) => known[index]);
}

/**
 * Has the driver checkpoint every CUDA process of a tree, or, if they have much device memory, lock it: then no work of theirs
 * is in progress on a GPU. Kills nothing, and does not throw when the driver cannot do it:
 * the result says why.
 */
export async function releaseDevices(root: number, options: ReleaseOptions = {}): Promise<ReleasedTree> {
  const deadline = startDeadline(options.timeoutMs ?? DEFAULT_RELEASE_MS);
  try {
    const tree = readProcessTree(root).map(({ pid }) => pid);
    const env = await environmentOf(() => tree, options.env);
    const driver = await openDriver({ path: options.driver, env });
    const pids = await cudaProcesses(driver, tree, deadline);
    const tooMuch = pids.length === 0 ? undefined : await tooMuchMemory(driver, pids, options, deadline);
    const done = await Promise.all(pids.map((pid) => releaseOne(driver, pid, deadline, tooMuch)));
    return { processes: done.flatMap((one) => one ?? []) };
  } catch (error) {
    if (!(error instanceof ToolkitError)) throw error;
    return { processes: [], reason: describeError(error) };
  } finally {
    deadline.end();
  }
}

/** A program that was started here, or restored: {@link Program} of `workload/`. */
interface OwnProgram {
  readonly pid: number;
  readonly isRunning: boolean;
  kill(): Promise<void>;
}

/** Ends a program that was started here, with its GPU memory released first where that is possible. */
export async function endProgram(
  program: OwnProgram | undefined,
  options: ReleaseOptions = {},
): Promise<void> {
  if (!program) return;
  // an unrelated process may have its pid by now
  if (isAlive(program.pid) && (program.isRunning || isDescendant(program.pid)))
    await releaseDevices(program.pid, options);
  await program.kill();
}
