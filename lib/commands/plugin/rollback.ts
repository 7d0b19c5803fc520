// SPDX-License-Identifier: MIT
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { addExamples } from '../../command-line/index.ts';
import { defaultLibdir, rollBackPlugin } from '../../install/index.ts';
import type { Io } from '../../output.ts';
import { currentSystem } from '../../machine/index.ts';

export function defineRollback(command: Command, io: Io): void {
  addExamples(command, 'criu-cuda rollback');
  command
    .option('--libdir <dir>', "plugin directory (default: CRIU's own)")
    .action(async (options: { libdir?: string | undefined }) => {
      const libdir = resolve(options.libdir ?? (await defaultLibdir(currentSystem(io.signal))));
      const result = await rollBackPlugin({ libdir });
      io.result(result, () => `rolled back; ${libdir} has ${result.replaced ?? 'no plugin'} again`);
    });
}
