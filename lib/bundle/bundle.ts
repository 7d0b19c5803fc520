// SPDX-License-Identifier: MIT
/**
 * A bundle is a relocatable directory with everything that a machine without compilers needs:
 *
 *     bin/      criu-cuda, criu, node
 *     criu/     CRIU and its shared libraries
 *     app/      this package: dist, addon, plugins and programs of the C build, node_modules
 *
 * packed as `FILE.tar.xz` or `FILE.tar.gz`. It runs on machines of this architecture whose glibc is not older than this one's.
 * @module
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { chmod, cp, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { checkNewFile, makeTemporaryDirectory, removeTemporaryDirectory } from '../directory.ts';
import { EnvironmentError, UsageError } from '../errors.ts';
import { exec } from '../exec.ts';
import { artifactDir, projectRoot } from '../paths.ts';
import { pluginVariants, variantPlugin } from '../variant.ts';
import { currentSystem, findCriu, findOnPath } from '../machine/index.ts';
import { ReadMeter, watchTransfer } from '../process/index.ts';
import type { ProgressListener } from '../progress.ts';
import { copyArtifacts, linkInterceptor, stripFiles } from './artifacts.ts';
import { sharedLibraries } from './libraries.ts';
import { compressorOf, type Compressor } from './compressor.ts';
import { copyPackage, runtimePackages } from './modules.ts';
import { cliWrapper, criuWrapper, readme, type BundleFacts } from './wrappers.ts';
import { checkPath } from '../check.ts';
import { packageVersion } from '../version.ts';

/** The file to write, and how. */
export interface BundleOptions {
  /** The file to write, `….tar.xz`, or `….tar.gz` for machines without xz; an existing one is replaced. */
  out: string;
  /** Level of the compression, 0 to 9: higher ones take longer and make it smaller. @default 6 */
  compressionLevel?: number | undefined;
  /** Called when a part begins, and about three times per second with the bytes that are packed. */
  onProgress?: ProgressListener | undefined;
  /** Stops the work; no file is left. */
  signal?: AbortSignal | undefined;
}

/** The file that was written, and what is in it. */
export interface BundleResult extends BundleFacts {
  /** Absolute path. */
  file: string;
  /** Size of the file. */
  sizeBytes: number;
  /** The directory inside. */
  folder: string;
}

const PACK_TIMEOUT_MS = 900_000;

/** Scripts for machines with a GPU, run by this bundle's node and by the machine's Python. */
const scripts = [
  'benchmarks/addon.mjs',
  'benchmarks/contexts.mjs',
  'benchmarks/memcpy.mjs',
  'benchmarks/workloads/training.py',
  'benchmarks/groups',
  'benchmarks/servers',
];
const isCompiledPython = (path: string): boolean => basename(path) === '__pycache__';

interface Sources {
  criu: { path: string; version: string };
  addon: string;
}

/** The addon that this program would load. */
function findAddon(): string | undefined {
  try {
    const { path } = createRequire(import.meta.url)('node-gyp-build') as {
      path: (dir: string) => string;
    };
    return path(projectRoot);
  } catch {
    return undefined;
  }
}

/** Finds everything to copy before anything is copied. */
async function findSources(compressor: string, signal: AbortSignal | undefined): Promise<Sources> {
  const { criu } = await findCriu(currentSystem(signal));
  const unbuilt = pluginVariants.filter((variant) => !existsSync(variantPlugin(variant)));
  const addon = findAddon();
  const tools = ['tar', compressor, 'ldd', 'strip'].filter(
    (name) => findOnPath(name, process.env.PATH) === undefined,
  );
  const missing = [
    ...(criu ? [] : [{ what: 'CRIU', remedy: 'criu-cuda setup' }]),
    ...unbuilt.map((variant) => ({ what: `plugin ${variant}`, remedy: 'criu-cuda build' })),
    ...(addon === undefined ? [{ what: 'criu_cuda.node', remedy: 'npm run build:addon' }] : []),
    ...tools.map((name) => ({ what: name, remedy: `install ${name}` })),
  ];
  if (!criu || addon === undefined || missing.length > 0) {
    throw new EnvironmentError('cannot create a bundle', missing);
  }
  return {
    criu: { path: criu.path, version: criu.version ?? 'unknown' },
    addon,
  };
}

async function writeProgram(path: string, text: string): Promise<void> {
  await writeFile(path, text);
  await chmod(path, 0o755);
}

async function copyPrograms(dir: string, sources: Sources, signal: AbortSignal | undefined): Promise<void> {
  const bin = join(dir, 'bin');
  const libraries = join(dir, 'criu', 'lib');
  await mkdir(bin, { recursive: true });
  await mkdir(libraries, { recursive: true });
  await cp(process.execPath, join(bin, 'node'));
  await cp(sources.criu.path, join(dir, 'criu', 'criu'), { dereference: true });
  for (const path of await sharedLibraries(sources.criu.path, signal)) {
    await cp(path, join(libraries, basename(path)), { dereference: true });
  }
  await writeProgram(join(bin, 'criu'), criuWrapper);
  await writeProgram(join(bin, 'criu-cuda'), cliWrapper);
  await stripFiles([join(bin, 'node'), join(dir, 'criu', 'criu')]);
}

const isRuntimeFile = (path: string): boolean => !/\.(?:d\.ts|map|tsbuildinfo)$/.test(path);

async function copyApp(dir: string, sources: Sources): Promise<void> {
  const app = join(dir, 'app');
  await mkdir(app, { recursive: true });
  await cp(join(projectRoot, 'dist'), join(app, 'dist'), { recursive: true, filter: isRuntimeFile });
  for (const name of ['package.json', 'LICENSE.md', 'LICENSES', 'docs', 'packaging/systemd']) {
    await cp(join(projectRoot, name), join(app, name), { recursive: true });
  }
  for (const name of scripts)
    await cp(join(projectRoot, name), join(app, name), {
      recursive: true,
      filter: (path) => !isCompiledPython(path),
    });
  const addon = join(app, relative(projectRoot, sources.addon));
  await mkdir(dirname(addon), { recursive: true });
  await cp(sources.addon, addon);
  const artifacts = join(app, 'plugins-cuda', 'build');
  await copyArtifacts(artifactDir(), artifacts);
  await linkInterceptor(artifacts);
  for (const one of runtimePackages(projectRoot, 'app')) await copyPackage(one, dir);
}

function glibcVersion(): string {
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string | undefined } };
  return header.glibcVersionRuntime ?? 'unknown';
}

/** The length of all files below a directory. */
const treeBytes = (dir: string): number =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((one) => one.isFile())
    .reduce((sum, one) => sum + statSync(join(one.parentPath, one.name)).size, 0);

async function pack(
  parent: string,
  folder: string,
  out: string,
  { command }: Compressor,
  { signal, onProgress }: BundleOptions,
): Promise<void> {
  const partial = `${out}.partial`;
  let stopWatching: (() => void) | undefined;
  const names = ['--owner=0', '--group=0', '--numeric-owner', '--sort=name'];
  try {
    await exec('tar', ['-I', command, '-cf', partial, ...names, '-C', parent, folder], {
      timeoutMs: PACK_TIMEOUT_MS,
      signal,
      onSpawn: (pid) => {
        if (!onProgress) return;
        // tar reads the files, and the compressor reads them from tar
        const meter = new ReadMeter(2 * treeBytes(join(parent, folder)));
        stopWatching = watchTransfer(() => meter.read(pid), onProgress);
      },
    });
    await rename(partial, out);
  } finally {
    stopWatching?.();
    await rm(partial, { force: true });
  }
}

/**
 * Creates a bundle of what this machine uses.
 * @throws `UsageError` for a file name that ends neither in `.tar.xz` nor in `.tar.gz`; `EnvironmentError` when something is missing
 * or not built
 */
export async function createBundle(options: BundleOptions): Promise<BundleResult> {
  checkPath('out', options.out);
  const out = resolve(options.out);
  checkNewFile(out);
  const report = options.onProgress ?? (() => undefined);
  const level = options.compressionLevel ?? 6;
  if (!Number.isInteger(level) || level < 0 || level > 9) {
    throw new UsageError(`compressionLevel ${level} is not a whole number from 0 to 9`);
  }
  const compressor = compressorOf(options.out, level);
  const sources = await findSources(compressor.program, options.signal);
  const facts: BundleFacts = {
    version: packageVersion(),
    node: process.versions.node,
    criu: sources.criu.version,
    arch: process.arch,
    glibc: glibcVersion(),
  };
  const folder = `criu-cuda-${facts.version}-linux-${facts.arch}`;
  const parent = makeTemporaryDirectory('criu-cuda-bundle-');
  try {
    const dir = join(parent, folder);
    report('copying programs');
    await copyPrograms(dir, sources, options.signal);
    report('copying the application');
    await copyApp(dir, sources);
    await writeFile(join(dir, 'README.txt'), readme(facts));
    await writeFile(join(dir, 'bundle.json'), `${JSON.stringify(facts, null, 2)}\n`);
    report('packing');
    await pack(parent, folder, out, compressor, options);
  } finally {
    removeTemporaryDirectory(parent);
  }
  return { ...facts, file: out, folder, sizeBytes: (await stat(out)).size };
}
