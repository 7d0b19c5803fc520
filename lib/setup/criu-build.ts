// SPDX-License-Identifier: MIT
/**
 * Builds CRIU into the user's cache: `criu-<version>/` with the program, the upstream CUDA plugin (for comparisons),
 * the plugin header, and a marker file that says that the build is complete. The system's own CRIU is never touched.
 * @module
 */
import { existsSync, readdirSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError, ToolkitError } from '../errors.ts';
import { tailOf } from '../exec.ts';
import type { ProgressListener } from '../progress.ts';
import { fetchCriuSource, sourceSuites, type CriuSource } from './criu-source.ts';
import { completeMarker, type System } from '../machine/index.ts';
import { SetupError } from './error.ts';

const BUILD_TIMEOUT_MS = 20 * 60_000;
const TEMPORARY = /^criu-build-(\d+)-/;

/** The files of a cache directory. */
export const criuCacheLayout = {
  program: 'criu',
  upstreamPlugin: 'cuda_plugin.so',
  includeDir: 'include',
  header: join('include', 'criu-plugin.h'),
} as const;

async function make(
  system: System,
  dir: string,
  args: readonly string[],
  report: ProgressListener,
): Promise<void> {
  const result = await system.run('make', [`-j${system.jobs}`, ...args], {
    cwd: dir,
    timeoutMs: BUILD_TIMEOUT_MS,
    onLine: report,
  });
  if (result.exitCode !== 0) {
    const reason = tailOf(result.stderr || result.stdout);
    throw new SetupError('ERR_SETUP_BUILD', `make ${args.join(' ')} failed:\n${reason}`);
  }
}

async function unpack(system: System, source: CriuSource, dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  const args = ['-xf', source.tarball, '-C', dir, '--strip-components=1', '--no-same-owner'];
  const result = await system.run('tar', args, { timeoutMs: BUILD_TIMEOUT_MS });
  if (result.exitCode !== 0) {
    throw new SetupError('ERR_SETUP_BUILD', `cannot unpack ${source.tarball}: ${tailOf(result.stderr)}`);
  }
}

/** The upstream plugin is only for comparisons, so a failure to build it does not matter. */
async function tryUpstreamPlugin(
  system: System,
  tree: string,
  report: ProgressListener,
): Promise<string | undefined> {
  try {
    await make(system, tree, ['cuda_plugin'], report);
  } catch (error) {
    if (!(error instanceof ToolkitError) || error.code !== 'ERR_SETUP_BUILD') throw error;
  }
  const plugin = join(tree, 'plugins', 'cuda', 'cuda_plugin.so');
  return existsSync(plugin) ? plugin : undefined;
}

/** Moves the results of a build to the cache in one step. @returns the cache directory */
async function publish(
  system: System,
  source: CriuSource,
  tree: string,
  work: string,
  plugin: string | undefined,
): Promise<string> {
  const staged = join(work, 'result');
  await mkdir(join(staged, criuCacheLayout.includeDir), { recursive: true });
  await copyFile(join(tree, 'criu', 'criu'), join(staged, criuCacheLayout.program));
  await copyFile(join(tree, 'criu', 'include', 'criu-plugin.h'), join(staged, criuCacheLayout.header));
  if (plugin !== undefined) await copyFile(plugin, join(staged, criuCacheLayout.upstreamPlugin));
  const marker = { version: source.version, suite: source.suite, upstreamPlugin: plugin !== undefined };
  await writeFile(join(staged, completeMarker), `${JSON.stringify(marker)}\n`);
  const target = join(system.cacheDir, `criu-${source.version}`);
  // another setup may have finished first; its result is just as good
  if (existsSync(join(target, completeMarker))) return target;
  await rm(target, { recursive: true, force: true });
  await rename(staged, target);
  return target;
}

function isRunning(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

/** Removes what a killed build left behind. */
async function removeLeftovers(cacheDir: string): Promise<void> {
  for (const name of readdirSync(cacheDir)) {
    const pid = TEMPORARY.exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) {
      await rm(join(cacheDir, name), { recursive: true, force: true });
    }
  }
}

async function buildFromSuite(
  system: System,
  suite: string,
  work: string,
  report: ProgressListener,
): Promise<string> {
  report(`fetching the source from ${suite}`);
  const source = await fetchCriuSource(system, suite, join(work, `apt-${suite}`), report);
  const tree = join(work, `criu-${source.version}`);
  await unpack(system, source, tree);
  await make(system, tree, ['criu'], report);
  const plugin = await tryUpstreamPlugin(system, tree, report);
  return publish(system, source, tree, work, plugin);
}

/**
 * Fetches and builds CRIU from the first suite whose version builds here.
 * @returns the cache directory of the build
 * @throws {@link ToolkitError} with the error of each suite
 */
export async function buildCriu(system: System, report: ProgressListener): Promise<string> {
  await mkdir(system.cacheDir, { recursive: true });
  await removeLeftovers(system.cacheDir);
  const work = await mkdtemp(join(system.cacheDir, `criu-build-${process.pid}-`));
  const failures: string[] = [];
  try {
    for (const suite of sourceSuites) {
      try {
        return await buildFromSuite(system, suite, work, report);
      } catch (error) {
        system.signal?.throwIfAborted();
        failures.push(`${suite}: ${describeError(error)}`);
      }
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  throw new SetupError('ERR_SETUP_BUILD', `cannot build CRIU\n${failures.join('\n')}`);
}
