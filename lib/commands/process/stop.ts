// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import { addExamples, addOperands, pidOperand, withOptions } from '../../command-line/index.ts';
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
  pid: number;
  timeoutMs?: number | undefined;
}

async function runStop(io: Io, { pid, timeoutMs }: Flags): Promise<void> {
  const result = await withProgress(io, `stop ${pid}`, () => stopProcess(pid, { timeoutMs }));
  io.result(result, () => stopText(result));
}

export function defineStop(command: Command, io: Io): void {
  addOperands(command, [pidOperand(parsePid)])
    .option('--timeout-ms <ms>', 'how long the driver may take (default: 30000)', wholeNumber(0, DAY_MS))
    .action(withOptions((flags: Flags) => runStop(io, flags)));
  addExamples(command, 'criu-cuda stop 4711', 'criu-cuda stop 4711 --timeout-ms 5000');
}
