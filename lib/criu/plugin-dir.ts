// SPDX-License-Identifier: MIT
/**
 * Which directory criu loads the CUDA plugin from.
 * @module
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { EnvironmentError, UsageError } from '../errors.ts';
import { inspectPluginDirectory, isCudaPlugin } from '../inspect/index.ts';
import { type Environment, pluginDirectories, pluginFileName } from '../paths.ts';
import { isPluginVariant, pluginVariants, variantDir } from '../variant.ts';

/** Which plugin criu loads. @default CRIU_LIBS_DIR, else the smallest variant that is built */
export interface PluginChoice {
  /** A variant of the C build. */
  variant?: string | undefined;
  /** A directory; wins over `variant`. */
  libdir?: string | undefined;
}

const hasPlugin = (dir: string): boolean => existsSync(join(dir, pluginFileName));

function variantDirectory(variant: string, env: Environment): string {
  if (!isPluginVariant(variant)) {
    throw new UsageError(
      `"${variant}" is not a variant of the plugin`,
      `variants: ${pluginVariants.join(', ')}`,
    );
  }
  const dir = variantDir(variant, env);
  if (hasPlugin(dir)) return dir;
  throw new EnvironmentError(`the plugin's variant ${variant} is not built`, [
    { what: join(dir, pluginFileName), remedy: `criu-cuda build --variant ${variant}` },
  ]);
}

/**
 * The directory that was asked for, else CRIU_LIBS_DIR, else the smallest
 * variant that is built, else the first place of CRIU's own that has a plugin.
 */
export function findPluginDir(choice: PluginChoice, env: Environment = process.env): string {
  const dir = choosePluginDir(choice, env);
  const plugins = inspectPluginDirectory(dir).filter(isCudaPlugin);
  if (plugins.length < 2) return dir;
  // CRIU loads all of them, and each would drive the devices
  throw new EnvironmentError(
    `${dir} holds ${plugins.length} CUDA plugins`,
    plugins.map(({ path, kind }) => ({ what: path, remedy: `${kind}: leave one of them there` })),
  );
}

function choosePluginDir(choice: PluginChoice, env: Environment): string {
  if (choice.libdir !== undefined) {
    const dir = resolve(choice.libdir);
    if (hasPlugin(dir)) return dir;
    throw new EnvironmentError(`${dir} has no ${pluginFileName}`, [
      { what: join(dir, pluginFileName), remedy: `criu-cuda install --libdir ${dir}` },
    ]);
  }
  if (choice.variant !== undefined) return variantDirectory(choice.variant, env);
  const candidates = [
    ...(env.CRIU_LIBS_DIR === undefined || env.CRIU_LIBS_DIR === '' ? [] : [env.CRIU_LIBS_DIR]),
    ...pluginVariants.map((variant) => variantDir(variant, env)),
    ...pluginDirectories,
  ];
  const found = candidates.find(hasPlugin);
  if (found !== undefined) return found;
  throw new EnvironmentError('no CUDA plugin for CRIU found', [
    { what: pluginFileName, remedy: 'criu-cuda setup, or criu-cuda install' },
  ]);
}
