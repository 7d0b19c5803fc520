// SPDX-License-Identifier: MIT
/** `bench limits`: the limits of this machine. */
import { writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { addExamples, addOutput, requiredOption } from '../../command-line/index.ts';
import { measureLimits, predict, type Limits } from '../../benchmark/index.ts';
import { parseSize } from '../../size.ts';
import { formatBytes, formatDuration, table, type Io } from '../../output.ts';
import { withProgress } from '../../progress.ts';
import { softwareBanner } from '../../report/index.ts';
import { useDriver } from './driver.ts';
import { makeDirectory } from '../../directory.ts';

interface LimitsFlags {
  store: string;
  size: string;
  predict: string[];
  output?: string | undefined;
}

const rateNames: Readonly<Record<keyof Limits['limits'], string>> = {
  pcie: 'pinned memory to the device',
  pageable: 'pageable memory to the device',
  load: 'GPU image to the device',
  store: 'device to a GPU image',
  read: 'reading the files of a GPU image',
  pageFaults: 'page faults, one thread',
};

function limitsText(limits: Limits, sizes: readonly string[]): string {
  const names = Object.keys(rateNames) as (keyof Limits['limits'])[];
  const rates = table(
    [limits.device, 'GB/s'],
    names.map((name) => [rateNames[name], limits.limits[name].toFixed(1)]),
    { align: ['left', 'right'] },
  );
  const predicted = table(
    ['device memory', 'PCIe', 'reading', 'GPU image', "through CRIU's pages"],
    sizes.map((size) => {
      const bytes = parseSize(size);
      const { pcieMs, readMs, loadMs, pageableMs } = predict(limits, bytes);
      return [formatBytes(bytes), ...[pcieMs, readMs, loadMs, pageableMs].map(formatDuration)];
    }),
  );
  return `${limits.software ? `${softwareBanner}\n` : ''}${rates}\n\nleast time to restore\n${predicted}`;
}

async function runLimits(io: Io, { store, size, predict: sizes, output }: LimitsFlags): Promise<void> {
  for (const one of [size, ...sizes]) parseSize(one);
  await useDriver(io);
  const limits = await withProgress(io, 'measuring', () =>
    measureLimits({ store: resolve(store), size, signal: io.signal }),
  );
  if (output !== undefined) {
    makeDirectory(dirname(resolve(output)));
    writeFileSync(output, `${JSON.stringify(limits, null, 1)}\n`);
  }
  io.result(limits, () => limitsText(limits, sizes));
}

export function defineLimits(command: Command, io: Io): void {
  addExamples(
    command,
    'criu-cuda bench limits --store /mnt/images',
    'criu-cuda bench limits --store /mnt/images --size 4G --output results/limits.json',
  );
  command
    .addOption(requiredOption('--store <dir>', 'directory for images'))
    .option('--size <size>', 'device memory to measure with', '1G')
    .option(
      '--predict <sizes>',
      'sizes of device memory to predict for, joined by commas',
      (text: string) => text.split(','),
      ['1G', '16G', '64G'],
    );
  addOutput(command, {
    description: 'write the limits as JSON; a report of that directory compares them with measured times',
  }).action((flags: LimitsFlags) => runLimits(io, flags));
}
