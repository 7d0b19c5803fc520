// SPDX-License-Identifier: MIT
import { resolve } from 'node:path';
import { Option, type Command } from 'commander';
import { addExamples } from '../../command-line/index.ts';
import { defaultLibdir, uninstallPlugin, uninstallProgram } from '../../install/index.ts';
import type { Io } from '../../output.ts';
import { currentSystem } from '../../machine/index.ts';

export function defineUninstall(command: Command, io: Io): void {
  addExamples(command, 'criu-cuda uninstall');
  command
    .option('--libdir <dir>', "plugin directory (default: CRIU's own)")
    .addOption(
      new Option(
        '--cuda-checkpoint <dir>',
        'instead: remove our program cuda-checkpoint from there',
      ).conflicts('libdir'),
    )
    .action(async (options: { libdir?: string; cudaCheckpoint?: string }) => {
      if (options.cudaCheckpoint !== undefined) {
        const removed = await uninstallProgram({ dir: resolve(options.cudaCheckpoint) });
        io.result(removed, () => `removed ${removed.path} (${removed.version})`);
        return;
      }
      const libdir = resolve(options.libdir ?? (await defaultLibdir(currentSystem(io.signal))));
      const result = await uninstallPlugin({ libdir });
      io.result(result, () => `uninstalled; ${libdir} has ${result.replaced ?? 'no plugin'} again`);
    });
}
