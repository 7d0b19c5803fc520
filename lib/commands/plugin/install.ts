// SPDX-License-Identifier: MIT
import { resolve } from 'node:path';
import { Option, type Command } from 'commander';
import { addExamples } from '../../command-line/index.ts';
import { UsageError } from '../../errors.ts';
import {
  defaultLibdir,
  installPlugin,
  installProgram,
  type InstallResult,
  type ProgramResult,
} from '../../install/index.ts';
import type { Io } from '../../output.ts';
import { builtProgram, interceptorLibrary } from '../../paths.ts';
import { isPluginVariant, pluginVariants, usesInterceptor, variantDir } from '../../variant.ts';
import { currentSystem } from '../../machine/index.ts';

function resultText(result: InstallResult): string {
  const what = `${result.variant ?? ''} ${result.version ?? ''}`;
  if (!result.changed) return `${what} is already installed in ${result.libdir}`;
  return `installed ${what} in ${result.libdir} (${result.files.join(', ')}); it replaces ${result.replaced ?? 'nothing'}`;
}

/** The program, and which of NVIDIA's is found before or after it. */
function programText({ path, version, changed, isOnPath, others }: ProgramResult): string {
  const lines = [`cuda-checkpoint ${version}: ${changed ? 'installed as' : 'already installed as'} ${path}`];
  if (!isOnPath) lines.push("its directory is not in PATH, where CRIU's own plugin looks for it");
  for (const other of others) {
    lines.push(`another one, ${other.path}, comes ${other.isFirst ? 'before' : 'after'} it in PATH`);
  }
  lines.push("NVIDIA's program of this name: https://github.com/NVIDIA/cuda-checkpoint");
  return lines.join('\n');
}

async function installCudaCheckpoint(dir: string, io: Io): Promise<void> {
  const result = await installProgram({ dir: resolve(dir), source: builtProgram('cuda-checkpoint') });
  io.result(result, () => programText(result));
}

export function defineInstall(command: Command, io: Io): void {
  addExamples(command, 'criu-cuda install', 'criu-cuda install --variant parallel --libdir /usr/lib/criu');
  command
    .option('--variant <name>', `one of ${pluginVariants.join(', ')}`, pluginVariants.at(-1))
    .option('--libdir <dir>', "plugin directory (default: CRIU's own)")
    .addOption(
      new Option(
        '--cuda-checkpoint <dir>',
        'instead of a variant: put the program cuda-checkpoint there',
      ).conflicts(['variant', 'libdir']),
    )
    .action(async (options: { variant: string; libdir?: string; cudaCheckpoint?: string }) => {
      const { variant, cudaCheckpoint } = options;
      if (cudaCheckpoint !== undefined) return installCudaCheckpoint(cudaCheckpoint, io);
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
