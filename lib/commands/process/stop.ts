// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import { UsageError } from '../../errors.ts';
import { formatDuration, type Io } from '../../output.ts';
import { withProgress } from '../../progress.ts';
import { stopProcess, type StopResult } from '../../stop/index.ts';
import { parsePid, wholeNumber } from '../operation-options.ts';

const DAY_MS = 86_400_000;

export function stopText({ pid, processes, reason, durationMs }: StopResult): string {
  const released = processes.filter((one) => one.isCheckpointed).map((one) => one.pid);
  const killed = processes.filter((one) => !one.isCheckpointed);
  return [
    `stopped ${pid} in ${formatDuration(durationMs)}`,
    ...(released.length === 0 ? [] : [`checkpointed by the driver first: ${released.join(', ')}`]),
    ...killed.map((one) => `${one.pid} was killed without that: ${one.reason ?? 'unknown reason'}`),
    ...(reason === undefined ? [] : [`killed without asking the driver: ${reason}`]),
  ].join('\n');
}

interface Flags {
  pid?: number | undefined;
  timeoutMs?: number | undefined;
}

async function runStop(io: Io, positional: number | undefined, flags: Flags): Promise<void> {
  const pid = flags.pid ?? positional;
  if (pid === undefined) throw new UsageError('name a process: criu-cuda stop --pid PID');
  if (positional !== undefined && positional !== pid)
    throw new UsageError(`two processes are named, ${positional} and ${pid}`);
  const { timeoutMs } = flags;
  const result = await withProgress(io, `stop ${pid}`, () => stopProcess(pid, { timeoutMs }));
  io.result(result, () => stopText(result));
}

export function defineStop(command: Command, io: Io): void {
  command
    .argument('[pid]', 'process ID of the root of the tree', parsePid)
    .option('--pid <pid>', 'the same', parsePid)
    .option('--timeout-ms <ms>', 'how long the driver may take (default: 30000)', wholeNumber(0, DAY_MS))
    .action((positional: number | undefined, flags: Flags) => runStop(io, positional, flags));
}
