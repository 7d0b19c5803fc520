// SPDX-License-Identifier: MIT
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import type { Io } from '../output.ts';
import { table } from '../output.ts';
import { pluginVariants, variantPlugin } from '../paths.ts';

export function registerVariants(program: Command, io: Io): void {
  program
    .command('variants')
    .description('list the variants of the plugin')
    .action(() => {
      const variants = pluginVariants.map((name) => ({
        name,
        path: variantPlugin(name),
        built: existsSync(variantPlugin(name)),
      }));
      io.result({ variants }, () =>
        table(
          ['variant', 'built'],
          variants.map((variant) => [variant.name, variant.built ? variant.path : 'no']),
        ),
      );
    });
}
