// SPDX-License-Identifier: MIT
/**
 * Paths of the package and of the system. The file system is read for two things only: whether the C parts were built
 * here or came prebuilt, and which build of the interceptor is the newest.
 * @module
 */
import { existsSync, lstatSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Environment variables. */
export type Environment = Readonly<Record<string, string | undefined>>;

function packageOf(dir: string): string {
  const above = dirname(dir);
  return existsSync(join(above, 'package.json')) || above === dir ? above : packageOf(above);
}

/** The package's root: this file is in `lib/`, `dist/` or, bundled with others, `dist/cli/`. */
export const projectRoot: string = packageOf(dirname(fileURLToPath(import.meta.url)));

/** The command line, `criu-cuda`. */
export const programFile: string = join(projectRoot, 'dist', 'cli.cjs');

/** Sources of everything in C. */
export const pluginSourceDir: string = join(projectRoot, 'plugins-cuda');

/** File name of every CUDA plugin of CRIU. */
export const pluginFileName = 'cuda_plugin.so';

/** The C build's output, unless CRIU_CUDA_BUILD_DIR names another directory. */
export const defaultBuildDir: string = join(pluginSourceDir, 'build');

/** The C build's output; CRIU_CUDA_BUILD_DIR overrides it. */
export function buildDir(env: Environment = process.env): string {
  return env.CRIU_CUDA_BUILD_DIR ?? defaultBuildDir;
}

/**
 * Binaries that come with the package, built by `npm run prebuilds`: the addon, and `lib` and `bin` of the C build.
 */
export const prebuiltDir: string = join(projectRoot, 'prebuilds', `linux-${process.arch}`);

/**
 * The directory with `lib` and `bin` of the C parts: CRIU_CUDA_BUILD_DIR if it is set; the prebuilt one if
 * PREBUILDS_ONLY is set, or if only that one exists; otherwise the build's output.
 */
export function artifactDir(env: Environment = process.env): string {
  const built = buildDir(env);
  if (env.CRIU_CUDA_BUILD_DIR !== undefined) return built;
  if (env.PREBUILDS_ONLY) return prebuiltDir;
  return !existsSync(join(built, 'lib')) && existsSync(join(prebuiltDir, 'lib')) ? prebuiltDir : built;
}

/** The software CUDA driver. */
export function softcudaLibrary(env: Environment = process.env): string {
  return join(artifactDir(env), 'lib', 'softcuda', 'libcuda.so.1');
}

/** The interceptor's name without its build id: a link to the newest build. */
export const interceptorFileName = 'libcuda_intercept.so';

/** Names of the interceptor: of one build, or of the newest. */
export const interceptorFileNames = /^libcuda_intercept(?:-[0-9a-f]{16})?\.so$/;

/** The newest build of the interceptor in a directory: where the link points, or else the youngest file. */
export function newestInterceptor(dir: string): string {
  const plain = join(dir, interceptorFileName);
  if (lstatSync(plain, { throwIfNoEntry: false })?.isSymbolicLink() === true) {
    const target = readlinkSync(plain);
    if (interceptorFileNames.test(target)) return join(dir, target);
  }
  const builds = (existsSync(dir) ? readdirSync(dir) : [])
    .filter((name) => name !== interceptorFileName && interceptorFileNames.test(name))
    .map((name) => ({ path: join(dir, name), age: -statSync(join(dir, name)).mtimeMs }));
  return builds.sort((one, other) => one.age - other.age)[0]?.path ?? plain;
}

/**
 * The interceptor, preloaded into an application so that its device memory can bypass CRIU. Its name has its build id,
 * because images name the file: a later build is another file, and this one stays.
 */
export function interceptorLibrary(env: Environment = process.env): string {
  return newestInterceptor(join(artifactDir(env), 'lib', 'intercept'));
}

/** A program of the C build, e.g. `workload-pattern`. */
export function builtProgram(name: string, env: Environment = process.env): string {
  return join(artifactDir(env), 'bin', name);
}

/**
 * In a build: becomes Node with the program, and begins what a restore or a checkpoint needs first while Node starts.
 * See plugins-cuda/start.
 */
export const starterOf = (build: string): string => join(build, 'bin', 'criu-cuda-start');

/** The user's cache of this project: CRIU builds and apt lists. */
export function cacheDir(env: Environment = process.env): string {
  const base = env.XDG_CACHE_HOME ?? join(env.HOME ?? homedir(), '.cache');
  return join(base, 'criu-cuda');
}

/** Directories in which criu looks for plugins by default. */
export const pluginDirectories = ['/usr/lib/criu', '/usr/local/lib/criu', '/usr/lib64/criu'] as const;

/** Default path of the settings file; CRIU_CUDA_CONFIG overrides it. */
export const defaultConfigFile = '/etc/criu/cuda.conf';

/** The settings file in use; it need not exist. */
export function configFile(env: Environment = process.env): string {
  const named = env.CRIU_CUDA_CONFIG;
  return named === undefined || named === '' ? defaultConfigFile : named;
}

/** The default run directory; the setting CRIU_CUDA_RUN_DIR overrides it. */
export const defaultRunDir = '/run/criu-cuda';
