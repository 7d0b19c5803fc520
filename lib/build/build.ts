// SPDX-License-Identifier: MIT
/**
 * Builds the C parts in `plugins-cuda/build` (`build/` belongs to node-gyp): with cmake-js if it is installed,
 * otherwise with CMake.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { EnvironmentError, UsageError } from '../errors.ts';
import { exec } from '../exec.ts';
import { buildDir, type Environment, pluginSourceDir } from '../paths.ts';
import type { PluginVariant } from '../variant.ts';
import { currentSystem, findCriu, findOnPath } from '../machine/index.ts';
import type { ProgressListener } from '../progress.ts';
import { removeForeignCache } from './cache.ts';

/** What is built, and how. */
export interface BuildOptions {
  /** Only this variant of the plugin. @default everything */
  variant?: PluginVariant | undefined;
  /** A CRIU source tree, to check our declarations against its header. */
  criuSrc?: string | undefined;
  /** Sanitizers, such as `address,undefined`. The build is in a directory next to the normal one. */
  sanitize?: string | undefined;
  /** Called with each line of output. */
  onProgress?: ProgressListener | undefined;
  /** Stops the build. */
  signal?: AbortSignal | undefined;
  /** The environment that says where it is built. @default the process's own */
  env?: Environment | undefined;
}

/** Where the build went. */
export interface BuildResult {
  /** The build directory. */
  buildDir: string;
}

const BUILD_TIMEOUT_MS = 900_000;

/** The program of cmake-js, which this package does not depend on; `undefined` when it is not installed. */
function findCmakeJs(): string | undefined {
  let manifest: string;
  try {
    manifest = createRequire(import.meta.url).resolve('cmake-js/package.json');
  } catch {
    return undefined;
  }
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8')) as { bin: Record<string, string> };
  return join(dirname(manifest), bin['cmake-js'] ?? 'bin/cmake-js');
}

/** The commands of a build: one of cmake-js, or those of CMake, which configures a directory only once. */
function buildCommands(
  cmakeJs: string | undefined,
  out: string,
  definitions: Readonly<Record<string, string>>,
  target: string | undefined,
): [file: string, args: string[]][] {
  const jobs = ['--parallel', String(availableParallelism())];
  const only = target === undefined ? [] : ['--target', target];
  const defined = Object.entries(definitions).map(([name, value]) => `${name}=${value}`);
  if (cmakeJs !== undefined) {
    const flags = defined.map((one) => `--CD${one}`);
    const dirs = ['--directory', pluginSourceDir, '--out', out];
    return [[process.execPath, [cmakeJs, 'build', ...dirs, ...jobs, ...only, ...flags]]];
  }
  const configure = ['-S', pluginSourceDir, '-B', out, ...defined.map((one) => `-D${one}`)];
  return [
    ...(existsSync(join(out, 'CMakeCache.txt')) ? [] : [['cmake', configure] as [string, string[]]]),
    ['cmake', ['--build', out, ...jobs, ...only]],
  ];
}

/** Directory with `criu-plugin.h`, when there is one. */
async function criuInclude(options: BuildOptions, env: Environment): Promise<string | undefined> {
  if (options.criuSrc !== undefined) {
    const include = resolve(options.criuSrc, 'criu', 'include');
    if (existsSync(join(include, 'criu-plugin.h'))) return include;
    throw new UsageError(`--criu-src ${options.criuSrc} has no criu/include/criu-plugin.h`);
  }
  const { criu } = await findCriu(currentSystem(options.signal, env));
  const include = criu && join(dirname(criu.path), 'include');
  return include !== undefined && existsSync(join(include, 'criu-plugin.h')) ? include : undefined;
}

/** The directory of a build with these sanitizers. */
export function sanitizedBuildDir(sanitize: string, env: Environment = process.env): string {
  return `${buildDir(env)}-${sanitize.replaceAll(',', '-')}`;
}

/**
 * Configures and builds.
 * @throws `CommandError` with the compiler's last lines when the build fails, `EnvironmentError` without cmake
 */
export async function buildPlugins(options: BuildOptions = {}): Promise<BuildResult> {
  const env = options.env ?? process.env;
  const out = options.sanitize === undefined ? buildDir(env) : sanitizedBuildDir(options.sanitize, env);
  const include = await criuInclude(options, env);
  if (findOnPath('cmake', env.PATH) === undefined) {
    throw new EnvironmentError('cannot build the C parts', [
      { what: 'cmake', remedy: 'run criu-cuda setup, or install cmake, make and a C compiler' },
    ]);
  }
  if (removeForeignCache(out, pluginSourceDir)) {
    options.onProgress?.(`${out} was configured for another directory: configuring it again`);
  }
  const definitions = {
    CCR_SANITIZE: options.sanitize ?? '',
    CMAKE_BUILD_TYPE: 'RelWithDebInfo',
    ...(include === undefined ? {} : { CRIU_PLUGIN_INCLUDE: include }),
  };
  const target = options.variant === undefined ? undefined : `plugin_${options.variant}`;
  for (const [file, args] of buildCommands(findCmakeJs(), out, definitions, target)) {
    await exec(file, args, {
      timeoutMs: BUILD_TIMEOUT_MS,
      onLine: options.onProgress,
      signal: options.signal,
    });
  }
  return { buildDir: out };
}
