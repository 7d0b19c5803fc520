// SPDX-License-Identifier: MIT
/**
 * Finds the directory from which criu loads the CUDA plugin.
 * @module
 */
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { EnvironmentError, UsageError } from '../errors.ts';
import { inspectPluginDirectory, isCudaPlugin } from '../inspect/index.ts';
import { type Environment, pluginDirectories, pluginFileName } from '../paths.ts';
import { isPluginVariant, pluginVariants, variantDir } from '../variant.ts';

/** Which plugin criu loads. @default CRIU_LIBS_DIR, else the smallest variant that is built */
export interface PluginChoice {
  /** A variant from the C build. */
  variant?: string | undefined;
  /** A plugin directory; overrides `variant`. */
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
 * The given directory or variant, else CRIU_LIBS_DIR, else the smallest variant that is built, else the first of CRIU's
 * default directories that has a plugin.
 */
export function findPluginDir(choice: PluginChoice, env: Environment = process.env): string {
  const dir = choosePluginDir(choice, env);
  if (readdirSync(dir).filter((name) => name.endsWith('.so')).length < 2) return dir;
  const plugins = inspectPluginDirectory(dir).filter(isCudaPlugin);
  if (plugins.length < 2) return dir;
  // CRIU loads every plugin it finds, and each would checkpoint the devices
  throw new EnvironmentError(
    `${dir} contains ${plugins.length} CUDA plugins`,
    plugins.map(({ path, kind }) => ({ what: path, remedy: `${kind}: keep only one of them` })),
  );
}

function choosePluginDir(choice: PluginChoice, env: Environment): string {
  if (choice.libdir !== undefined) {
    const dir = resolve(choice.libdir);
    if (hasPlugin(dir)) return dir;
    throw new EnvironmentError(`${dir} does not contain ${pluginFileName}`, [
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
  throw new EnvironmentError('cannot find a CUDA plugin for CRIU', [
    { what: pluginFileName, remedy: 'criu-cuda setup, or criu-cuda install' },
  ]);
}
