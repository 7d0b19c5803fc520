// SPDX-License-Identifier: MIT
/**
 * The plugin's variants: what each has, and where it is.
 * @module
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { inspectPlugin } from './inspect/index.ts';
import { artifactDir, pluginFileName, type Environment } from './paths.ts';

/** The plugin's variants, smallest first; see docs/architecture.md. */
export const pluginVariants = ['stock', 'remap', 'parallel', 'full'] as const;
/** The name of a variant. */
export type PluginVariant = (typeof pluginVariants)[number];

export function isPluginVariant(name: string): name is PluginVariant {
  return (pluginVariants as readonly string[]).includes(name);
}

/** Whether a variant moves device memory of processes that have the interceptor. */
export function usesInterceptor(variant: string): boolean {
  return variant === 'parallel' || variant === 'full';
}

/** The directory of one variant, for criu's `--libdir`. */
export function variantDir(variant: PluginVariant, env: Environment = process.env): string {
  return join(artifactDir(env), 'lib', variant);
}

/** The plugin file of one variant. */
export function variantPlugin(variant: PluginVariant, env: Environment = process.env): string {
  return join(variantDir(variant, env), pluginFileName);
}

const features: Record<PluginVariant, string> = {
  stock: "the driver's checkpoint API inside criu; GPU memory goes through CRIU's images",
  remap: "stock, and large host memory goes to page files, not through CRIU's images",
  parallel: 'remap, and GPU memory goes to a GPU image by parallel transfers (needs the interceptor)',
  full: 'parallel, and uses the pool daemon, if it runs: warm contexts and resident images',
};

/** A variant, and what of it is built and installed. */
export interface VariantInfo {
  /** Name of the variant. */
  name: PluginVariant;
  /** What it can do, one sentence. */
  has: string;
  /** Version of the built file; `undefined` when it is not built. */
  version: string | undefined;
  /** Where the built file is, or would be. */
  path: string;
  /** Those of `libdirs` in which it is installed. */
  installedIn: string[];
}

function variantIn(path: string): string | undefined {
  return existsSync(path) ? inspectPlugin(path).variant : undefined;
}

/**
 * Lists the variants, and where each is built and installed.
 * @param libdirs plugin directories to look at
 */
export function listVariants(libdirs: readonly string[], env: Environment = process.env): VariantInfo[] {
  const installed = libdirs.map((dir) => ({ dir, variant: variantIn(join(dir, pluginFileName)) }));
  return pluginVariants.map((name) => {
    const path = variantPlugin(name, env);
    return {
      name,
      has: features[name],
      version: existsSync(path) ? inspectPlugin(path).version : undefined,
      path,
      installedIn: installed.filter(({ variant }) => variant === name).map(({ dir }) => dir),
    };
  });
}
