// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import { addExamples } from '../command-line/index.ts';
import type { Phase } from '../criu/index.ts';
import { type DemoResult, runDemo, type ShowStep } from '../demo/index.ts';
import { parseSize } from '../size.ts';
import type { DriverChoice } from '../gpu/index.ts';
import { formatBytes, formatDuration, table, type Io } from '../output.ts';
import { withProgress } from '../progress.ts';
import type { WorkloadStatus } from '../workload/index.ts';
import { pluginText, showWarnings } from './operation-options.ts';

interface Flags {
  size?: string | undefined;
  software?: boolean | undefined;
  keep?: boolean | undefined;
  variant?: string | undefined;
}

const SOFTWARE_NOTE = 'software driver: the times mean nothing';

function phaseRows(operation: string, phases: readonly Phase[], durationMs: number): string[][] {
  const rows = phases.map(({ part, name, durationMs: ms }) => [operation, part, name, formatDuration(ms)]);
  return [...rows, [operation, 'total', '', formatDuration(durationMs)]];
}

function resultText(io: Io, result: DemoResult): string {
  const { checkpoint, restore, timesMeaningful, imagesDir } = result;
  const time = timesMeaningful ? 'time' : 'time (means nothing)';
  const environment = Object.entries(result.env).map(([key, value]) => `${key}=${value}`);
  return [
    '',
    table(
      ['operation', 'by', 'phase', time],
      [
        ...phaseRows('checkpoint', checkpoint.phases, checkpoint.durationMs),
        ...phaseRows('restore', restore.phases, restore.durationMs),
      ],
      { align: ['left', 'left', 'left', 'right'] },
    ),
    '',
    `device memory ${formatBytes(result.deviceBytes)} in ${result.allocations} allocations, images ${formatBytes(checkpoint.imageBytes)}`,
    pluginText(checkpoint),
    io.colors.green(`checksum ${result.checksum} and addresses are the same before and after`),
    ...(timesMeaningful ? [] : [io.colors.yellow(SOFTWARE_NOTE)]),
    ...(imagesDir === undefined
      ? []
      : [
          `images: ${imagesDir}; to restore them again: ${[...environment, 'criu-cuda'].join(' ')} restore ${imagesDir}`,
        ]),
  ].join('\n');
}

function deviceText(io: Io, { device, software }: WorkloadStatus, { reason }: DriverChoice): string {
  const where = `device: ${device} (${reason})`;
  return software ? `${where}\n${io.colors.yellow(SOFTWARE_NOTE)}` : where;
}

/** Prints a line for each step, even a short one. */
function showSteps(io: Io): ShowStep {
  return async (title, run) => {
    const start = performance.now();
    const value = await withProgress(io, title, run);
    if (!io.json) io.out(`${io.colors.green('✔')} ${title}  ${formatDuration(performance.now() - start)}`);
    return value;
  };
}

async function demo(io: Io, flags: Flags): Promise<void> {
  const { size, software = false, keep = false, variant } = flags;
  const result = await runDemo({
    ...(size === undefined ? {} : { bytes: parseSize(size) }),
    software,
    keep,
    variant,
    signal: io.signal,
    step: showSteps(io),
    onDevice: (device, driver) => {
      if (!io.json) io.out(deviceText(io, device, driver));
    },
  });
  io.result(result, () => resultText(io, result));
  showWarnings(io, [...result.checkpoint.warnings, ...result.restore.warnings]);
}

export function defineDemo(command: Command, io: Io): void {
  addExamples(command, 'criu-cuda demo', 'criu-cuda demo --software --size 512M --keep');
  command
    .option('--size <size>', 'device memory of the program, e.g. 512M (default: 2G on a GPU, else 256M)')
    .option('--software', 'use the software driver even when there is a GPU')
    .option('--variant <name>', 'variant of the plugin (default: full)')
    .option('--keep', 'keep the images')
    .action((flags: Flags) => demo(io, flags));
}
