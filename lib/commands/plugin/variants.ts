// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import { addExamples } from '../../command-line/index.ts';
import { listVariants } from '../../variant.ts';
import { currentSystem } from '../../machine/index.ts';
import { defaultLibdir } from '../../install/index.ts';
import { table, type Io } from '../../output.ts';
import { pluginDirectories } from '../../paths.ts';

export function defineVariants(command: Command, io: Io): void {
  addExamples(command, 'criu-cuda variants');
  command.action(async () => {
    const libdirs = new Set([await defaultLibdir(currentSystem(io.signal)), ...pluginDirectories]);
    const variants = listVariants([...libdirs]);
    io.result({ variants }, () =>
      table(
        ['variant', 'built', 'installed', 'has'],
        variants.map(({ name, version, installedIn, has }) => [
          name,
          version ?? 'no',
          installedIn.join('\n') || 'no',
          has,
        ]),
      ),
    );
  });
}
