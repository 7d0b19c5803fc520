// SPDX-License-Identifier: MIT
/**
 * Where things are. The disk is asked for one thing only: whether the C parts were built here or came prebuilt.
 * @module
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Environment variables. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The package's root: the folder above `lib/` or `dist/`. */
export const projectRoot: string = dirname(dirname(fileURLToPath(import.meta.url)));

/** Sources of everything in C. */
export const pluginSourceDir: string = join(projectRoot, 'plugins-cuda');

/** File name every CUDA plugin of CRIU has. */
export const pluginFileName = 'cuda_plugin.so';

/** The C build's output; CRIU_CUDA_BUILD_DIR overrides it. */
export function buildDir(env: Environment = process.env): string {
  return env.CRIU_CUDA_BUILD_DIR ?? join(pluginSourceDir, 'build');
}

/** What came with the package, made by `npm run prebuilds`: the addon, and the C build's `lib` and `bin`. */
export const prebuiltDir: string = join(projectRoot, 'prebuilds', `linux-${process.arch}`);

/**
 * Where `lib` and `bin` of the C parts are: what CRIU_CUDA_BUILD_DIR names, else the prebuilt ones where PREBUILDS_ONLY
 * is set, else the build's output, else the prebuilt ones.
 */
export function artefactDir(env: Environment = process.env): string {
  const built = buildDir(env);
  if (env.CRIU_CUDA_BUILD_DIR !== undefined) return built;
  if (env.PREBUILDS_ONLY) return prebuiltDir;
  return !existsSync(join(built, 'lib')) && existsSync(join(prebuiltDir, 'lib')) ? prebuiltDir : built;
}

/** The software CUDA driver. */
export function softcudaLibrary(env: Environment = process.env): string {
  return join(artefactDir(env), 'lib', 'softcuda', 'libcuda.so.1');
}

/** Preloaded into an application, so that its device memory can be moved beside CRIU. */
export function interceptorLibrary(env: Environment = process.env): string {
  return join(artefactDir(env), 'lib', 'intercept', 'libcuda_intercept.so');
}

/** A program of the C build, e.g. `workload-pattern`. */
export function builtProgram(name: string, env: Environment = process.env): string {
  return join(artefactDir(env), 'bin', name);
}

/** The user's cache of this project: CRIU builds and apt lists. */
export function cacheDir(env: Environment = process.env): string {
  const base = env.XDG_CACHE_HOME ?? join(env.HOME ?? homedir(), '.cache');
  return join(base, 'criu-cuda');
}

/** Where CRIU programs look for plugins when nothing else is said. */
export const pluginDirectories = ['/usr/lib/criu', '/usr/local/lib/criu', '/usr/lib64/criu'] as const;

/** The settings file's default place; CRIU_CUDA_CONFIG overrides it. */
export const defaultConfigFile = '/etc/criu/cuda.conf';

/** The settings file in use, whether it is there or not. */
export function configFile(env: Environment = process.env): string {
  const named = env.CRIU_CUDA_CONFIG;
  return named === undefined || named === '' ? defaultConfigFile : named;
}

/** The run directory's default place; the setting CRIU_CUDA_RUN_DIR overrides it. */
export const defaultRunDir = '/run/criu-cuda';
