// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import { addExamples, addOperands, pidOperand, withOptions } from '../../command-line/index.ts';
import { monotonicMs } from '../../clock.ts';
import { UsageError } from '../../errors.ts';
import { formatDuration, type Io } from '../../output.ts';
import { readStat } from '../../process/index.ts';
import { withProgress } from '../../progress.ts';
import { wake } from '../../restore/index.ts';
import { parsePid } from '../operation-options.ts';

async function runWake(io: Io, pid: number): Promise<void> {
  if (!readStat(pid)) throw new UsageError(`there is no process ${pid}`);
  const startedMs = monotonicMs();
  const result = await withProgress(io, `wake ${pid}`, () => wake(pid, { signal: io.signal }));
  const { pids, durationMs } = result;
  io.result({ pid, ...result, startedMs }, () =>
    pids.length === 0
      ? `no process in tree ${pid} was stopped`
      : `woke ${pids.join(', ')} in ${formatDuration(durationMs)}`,
  );
}

export function defineWake(command: Command, io: Io): void {
  addOperands(command, [pidOperand(parsePid)]).action(
    withOptions(({ pid }: { pid: number }) => runWake(io, pid)),
  );
  addExamples(command, 'criu-cuda wake 4711');
}
