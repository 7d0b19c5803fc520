// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import { addExamples, addOperands, pidOperand, withOptions } from '../../command-line/index.ts';
import { UsageError } from '../../errors.ts';
import {
  environmentOf,
  listCudaProcesses,
  openDriver,
  parseDeviceMap,
  type CheckpointDriver,
  type CudaProcess,
} from '../../gpu/index.ts';
import { formatBytes, formatDuration, table, type Io } from '../../output.ts';
import {
  listPids,
  readMemoryMap,
  readMemoryPages,
  type MemoryMap,
  type MemoryPages,
} from '../../process/index.ts';
import { withProgress } from '../../progress.ts';
import { loadSettings, type Settings } from '../../settings/index.ts';
import { parsePid, wholeNumber } from '../operation-options.ts';

interface Flags {
  pid: number;
  timeoutMs?: number | undefined;
  deviceMap?: string | undefined;
}

type Run = (driver: CheckpointDriver, flags: Flags, settings: Settings, signal: AbortSignal) => Promise<void>;

interface Step {
  name: string;
  description: string;
  run: Run;
  options?: ((command: Command) => Command) | undefined;
}

const DAY_MS = 86_400_000;

const steps: readonly Step[] = [
  {
    name: 'lock',
    description: 'wait for GPU work to finish, then block new CUDA calls',
    run: async (driver, { pid, timeoutMs }, settings, signal) => {
      // not by passing the signal to the driver: this program would exit before a late lock is undone
      await driver.lock(pid, { timeoutMs: timeoutMs ?? settings.CRIU_CUDA_LOCK_TIMEOUT_MS });
      if (!signal.aborted) return;
      await driver.unlock(pid);
      signal.throwIfAborted();
    },
    options: (command) =>
      command.option(
        '--timeout-ms <ms>',
        'how long to wait for GPU work, 0 forever (default: CRIU_CUDA_LOCK_TIMEOUT_MS)',
        wholeNumber(0, DAY_MS),
      ),
  },
  {
    name: 'checkpoint',
    description: 'move device memory to host memory and release the GPU',
    run: (driver, { pid }) => driver.checkpoint(pid),
  },
  {
    name: 'restore',
    description: 'acquire the GPU and move device memory back to it',
    run: (driver, { pid, deviceMap }, settings) =>
      driver.restore(pid, { deviceMap: parseDeviceMap(deviceMap ?? settings.CRIU_CUDA_DEVICE_MAP) }),
    options: (command) =>
      command.option(
        '--device-map <pairs>',
        'old UUID=new UUID, joined by commas (default: CRIU_CUDA_DEVICE_MAP)',
      ),
  },
  {
    name: 'unlock',
    description: 'allow CUDA calls again',
    run: (driver, { pid }) => driver.unlock(pid),
  },
];

/** The driver that a process has; on a machine without a GPU, the software driver is found without being named. */
const driverFor = async (pids: () => readonly number[]): Promise<CheckpointDriver> =>
  openDriver({ env: await environmentOf(pids) });

async function runStep(io: Io, step: Step, flags: Flags): Promise<void> {
  const { pid } = flags;
  const { settings } = loadSettings();
  const driver = await driverFor(() => [pid]);
  const start = performance.now();
  await withProgress(io, `${step.name} of ${pid}`, () => step.run(driver, flags, settings, io.signal));
  const durationMs = performance.now() - start;
  io.result(
    { pid, step: step.name, durationMs },
    () => `${step.name} of ${pid}: ${formatDuration(durationMs)}`,
  );
}

async function showState(io: Io, { pid }: Flags): Promise<void> {
  const state = await (await driverFor(() => [pid])).state(pid);
  io.result({ pid, state }, () => state);
}

async function showRestoreTid(io: Io, { pid }: Flags): Promise<void> {
  const tid = await (await driverFor(() => [pid])).restoreThreadId(pid);
  io.result({ pid, restoreTid: tid }, () => String(tid));
}

function memoryText({ devices }: CudaProcess): string {
  const known = devices.filter((device) => device.usedBytes !== 0);
  return known
    .map(({ uuid, usedBytes }) => `${usedBytes === null ? 'unknown' : formatBytes(usedBytes)} on ${uuid}`)
    .join('\n');
}

async function list(io: Io): Promise<void> {
  const processes = await listCudaProcesses(await driverFor(listPids));
  io.result({ processes }, () => {
    if (processes.length === 0) return 'no CUDA process is visible to this user';
    const rows = processes.map((one) => [String(one.pid), one.state, memoryText(one), one.command]);
    return table(['pid', 'state', 'device memory', 'command'], rows);
  });
}

const LARGEST = 10;

function memoryTables(map: MemoryMap, pages: MemoryPages): string {
  const kinds = Object.entries({ ...map.kinds, all: map }).map(([kind, sums]) => [
    kind.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`),
    String(sums.mappings),
    ...[sums.sizeBytes, sums.residentBytes, sums.hugePageBytes, sums.swappedBytes].map(formatBytes),
  ]);
  const largest = map.largest.map(({ start, permissions, residentBytes, path }) => [
    start.toString(16),
    permissions,
    formatBytes(residentBytes),
    path,
  ]);
  const { exclusiveBytes, fileOrSharedBytes, softDirtyBytes } = pages;
  return [
    table(['kind', 'mappings', 'size', 'resident', 'huge pages', 'swapped'], kinds),
    `exclusive ${formatBytes(exclusiveBytes)}, file-backed or shared ${formatBytes(fileOrSharedBytes)}, soft-dirty ${formatBytes(softDirtyBytes)}`,
    table(['address', '', 'resident', 'path'], largest),
  ].join('\n');
}

async function showMemory(io: Io, { pid }: Flags): Promise<void> {
  const options = { signal: io.signal };
  const [map, pages] = await Promise.all([
    readMemoryMap(pid, { ...options, largest: LARGEST }),
    readMemoryPages(pid, options),
  ]);
  if (!map || !pages) throw new UsageError(`there is no process ${pid}`);
  io.result({ pid, ...map, pages }, () => memoryTables(map, pages));
}

export function defineProcess(group: Command, io: Io): void {
  const add = (name: string, description: string, run: (flags: Flags) => Promise<void>): Command => {
    const command = group.command(name).description(description);
    addOperands(command, [pidOperand(parsePid, 'process ID')]).action(withOptions(run));
    return addExamples(command, `criu-cuda process ${name} 4711`);
  };
  const listed = group
    .command('list')
    .description('list every CUDA process with its state, including checkpointed ones')
    .action(() => list(io));
  addExamples(listed, 'criu-cuda process list', 'criu-cuda process list --json');
  add('memory', 'show its mapped host memory, which CRIU stores besides device memory', (flags) =>
    showMemory(io, flags),
  );
  add('state', 'print its state: running, locked, checkpointed or failed', (flags) => showState(io, flags));
  add('restore-tid', "print the thread ID of the driver's restore thread", (flags) =>
    showRestoreTid(io, flags),
  );
  for (const step of steps) {
    const command = add(step.name, step.description, (flags) => runStep(io, step, flags));
    step.options?.(command);
  }
}
