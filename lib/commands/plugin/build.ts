// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import { addExamples } from '../../command-line/index.ts';
import { buildPlugins } from '../../build/index.ts';
import { UsageError } from '../../errors.ts';
import type { Io } from '../../output.ts';
import { isPluginVariant, pluginVariants } from '../../variant.ts';
import { withProgress } from '../../progress.ts';

export function defineBuild(command: Command, io: Io): void {
  addExamples(command, 'criu-cuda build', 'criu-cuda build --variant full');
  command
    .option('--variant <name>', `only this variant of the plugin: ${pluginVariants.join(', ')}`)
    .option('--criu-src <dir>', 'check our plugin interface against this CRIU source tree')
    .option(
      '--sanitize <list>',
      'build with sanitizers, such as address,undefined, in a directory next to the normal build',
    )
    .action(async (options: { variant?: string; criuSrc?: string; sanitize?: string }) => {
      const { variant } = options;
      if (variant !== undefined && !isPluginVariant(variant)) {
        throw new UsageError(
          `"${variant}" is not a variant of the plugin`,
          `variants: ${pluginVariants.join(', ')}`,
        );
      }
      const result = await withProgress(io, 'building the C parts', (report) =>
        buildPlugins({
          variant,
          criuSrc: options.criuSrc,
          sanitize: options.sanitize,
          onProgress: report,
          signal: io.signal,
        }),
      );
      io.result(result, () => `built in ${result.buildDir}`);
    });
}
