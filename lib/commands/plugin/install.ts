// SPDX-License-Identifier: MIT
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { addExamples } from '../../command-line/index.ts';
import { UsageError } from '../../errors.ts';
import { defaultLibdir, installPlugin, type InstallResult } from '../../install/index.ts';
import type { Io } from '../../output.ts';
import { interceptorLibrary } from '../../paths.ts';
import { isPluginVariant, pluginVariants, usesInterceptor, variantDir } from '../../variant.ts';
import { currentSystem } from '../../machine/index.ts';

function resultText(result: InstallResult): string {
  const what = `${result.variant ?? ''} ${result.version ?? ''}`;
  if (!result.changed) return `${what} is already installed in ${result.libdir}`;
  return `installed ${what} in ${result.libdir} (${result.files.join(', ')}); it replaces ${result.replaced ?? 'nothing'}`;
}

export function defineInstall(command: Command, io: Io): void {
  addExamples(command, 'criu-cuda install', 'criu-cuda install --variant parallel --libdir /usr/lib/criu');
  command
    .option('--variant <name>', `one of ${pluginVariants.join(', ')}`, pluginVariants.at(-1))
    .option('--libdir <dir>', "plugin directory (default: CRIU's own)")
    .action(async (options: { variant: string; libdir?: string | undefined }) => {
      const { variant } = options;
      if (!isPluginVariant(variant)) {
        throw new UsageError(
          `"${variant}" is not a variant of the plugin`,
          `variants: ${pluginVariants.join(', ')}`,
        );
      }
      const libdir = resolve(options.libdir ?? (await defaultLibdir(currentSystem(io.signal))));
      const result = await installPlugin({
        source: variantDir(variant),
        libdir,
        ...(usesInterceptor(variant) ? { interceptor: interceptorLibrary() } : {}),
      });
      io.result(result, () => resultText(result));
    });
}
