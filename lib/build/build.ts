// SPDX-License-Identifier: MIT
/**
 * The C build: CMake through cmake-js, into `plugins-cuda/build`, never into
 * `build/`, which belongs to node-gyp.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { UsageError } from '../errors.ts';
import { exec } from '../exec.ts';
import { buildDir, type Environment, pluginSourceDir } from '../paths.ts';
import type { PluginVariant } from '../variant.ts';
import { currentSystem, findCriu } from '../machine/index.ts';
import type { Report } from '../progress.ts';

export interface BuildOptions {
  /** Only this variant of the plugin. @default everything */
  variant?: PluginVariant | undefined;
  /** A CRIU source tree, to check our declarations against its header. */
  criuSrc?: string | undefined;
  /** For example `address,undefined`; builds beside the normal build. */
  sanitize?: string | undefined;
  report?: Report | undefined;
  signal?: AbortSignal | undefined;
  env?: Environment | undefined;
}

export interface BuildResult {
  /** The build directory. */
  buildDir: string;
}

const BUILD_TIMEOUT_MS = 900_000;

function cmakeJs(): string {
  const manifest = createRequire(import.meta.url).resolve('cmake-js/package.json');
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8')) as { bin: Record<string, string> };
  return join(dirname(manifest), bin['cmake-js'] ?? 'bin/cmake-js');
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

/** Where a build with these sanitizers goes. */
export function sanitizedBuildDir(sanitize: string, env: Environment = process.env): string {
  return `${buildDir(env)}-${sanitize.replaceAll(',', '-')}`;
}

/** Configures and builds; a failure throws `CommandError` with the compiler's last lines. */
export async function build(options: BuildOptions = {}): Promise<BuildResult> {
  const env = options.env ?? process.env;
  const out = options.sanitize === undefined ? buildDir(env) : sanitizedBuildDir(options.sanitize, env);
  const include = await criuInclude(options, env);
  const args = [
    cmakeJs(),
    'build',
    ...['--directory', pluginSourceDir, '--out', out],
    ...['--parallel', String(availableParallelism())],
    ...(options.variant === undefined ? [] : ['--target', `plugin_${options.variant}`]),
    `--CDCCR_SANITIZE=${options.sanitize ?? ''}`,
    '--CDCMAKE_BUILD_TYPE=RelWithDebInfo',
    ...(include === undefined ? [] : [`--CDCRIU_PLUGIN_INCLUDE=${include}`]),
  ];
  await exec(process.execPath, args, {
    timeoutMs: BUILD_TIMEOUT_MS,
    onLine: options.report,
    signal: options.signal,
  });
  return { buildDir: out };
}
