// SPDX-License-Identifier: MIT
/**
 * Whether this machine can restore an image of a registry, by its description: everything that is in the way, before any
 * block is moved.
 * @module
 */
import { once } from 'node:events';
import { existsSync, realpathSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../directory.ts';
import { ToolkitError } from '../errors.ts';
import { execResult, tailOf } from '../exec.ts';
import {
  environmentOfGpus,
  listGpus,
  openDriver,
  type CheckpointDriver,
  type Gpu,
  type GpuReport,
} from '../gpu/index.ts';
import { supportedProtocols } from '../images/index.ts';
import { isBuildId, readBuildId } from '../kept/index.ts';
import {
  availableHostMemory,
  compareVersions,
  currentSystem,
  findCriu,
  learned,
  type FoundCriu,
} from '../machine/index.ts';
import { formatBytes, formatCudaVersion } from '../output.ts';
import type { Environment } from '../paths.ts';
import { readPoolStatus } from '../pool/index.ts';
import { loadSettings } from '../settings/index.ts';
import { pluginVariants, variantDir } from '../variant.ts';
import { ImageCache, imageDir, pullPrefix, spaceProblem, type CacheOptions } from './cache.ts';
import { hasZstd } from './compression/zstd.ts';
import { isCompressed, type Description, type DriverStack } from './format.ts';
import { chooseGpus, visibleGpus } from './gpus.ts';
import { findImage, type FoundImage } from './inspect.ts';
import { missingLayers, sizeOf } from './missing.ts';
import { parseReference } from './reference.ts';
import type { RegistryOptions } from './skopeo.ts';
import { architecture } from './stack.ts';

/** One thing that is in the way, and what to do about it. */
export interface ImageProblem {
  /** What is wrong: one sentence. */
  text: string;
  /** What to do about it. */
  remedy: string | undefined;
}

/** What a look at an image found. */
export interface ImageCheck {
  /** With tag or digest. */
  reference: string;
  /** Of the manifest. */
  digest: string;
  /** Nothing is in the way that the description tells. */
  canRestore: boolean;
  /** Everything that is in the way. */
  problems: ImageProblem[];
  /** What is different here, and may matter. */
  warnings: string[];
  /** Bytes that a pull would move. */
  missingBytes: number;
  /** UUIDs of the dump, and of the GPUs here that take their place; empty when they are the same. */
  deviceMap: [string, string][];
}

/** How to look. */
export interface ImageCheckOptions extends RegistryOptions, CacheOptions {
  /** Version of the kernel, as in uname. @default that of this machine */
  kernel?: string | undefined;
}

type Findings = Pick<ImageCheck, 'problems' | 'warnings' | 'deviceMap'>;

/** An error as a problem; what is no {@link ToolkitError} is thrown. */
function problemOf(error: unknown): ImageProblem {
  if (error instanceof ToolkitError) return { text: error.message, remedy: error.hint };
  throw error;
}

/** Whether the pool has device memory of the image already, or is loading it while a command pulls it: nothing more is needed for it then. */
async function isResident(imagesDir: string, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    const parent = realpathSync(dirname(imagesDir));
    const isOfImage = (dir: string): boolean =>
      dir === join(parent, basename(imagesDir)) || dir.startsWith(join(parent, pullPrefix(imagesDir)));
    return (await readPoolStatus({ signal })).images.some((image) => isOfImage(image.dir));
  } catch {
    return false; // it is not here, or no daemon runs
  }
}

const asIfFree = (gpu: Gpu): Gpu => ({
  ...gpu,
  memory: gpu.memory && { ...gpu.memory, freeBytes: gpu.memory.totalBytes },
});

/** What a check asks about this machine. The questions are asked off the event loop, so that a registry can be asked meanwhile. */
export interface MachineAnswers {
  driver: Promise<CheckpointDriver>;
  gpus: Promise<GpuReport>;
  criu: Promise<FoundCriu>;
}

/** Nobody need wait for the answer: what went wrong is for those who do. */
function ask<T>(question: () => Promise<T>): Promise<T> {
  const answer = question();
  answer.catch(() => undefined);
  return answer;
}

const askAboutGpus = (env: Environment): Pick<MachineAnswers, 'driver' | 'gpus'> => ({
  driver: ask(() => openDriver({ env })),
  gpus: ask(async () => listGpus({ driver: loadSettings(env).settings.CRIU_CUDA_DRIVER })),
});

/** Asks all of it. */
const askMachine = ({ signal }: Pick<ImageCheckOptions, 'signal'>): MachineAnswers => ({
  ...askAboutGpus(process.env),
  criu: ask(async () => findCriu(currentSystem(signal), { check: false })),
});

/**
 * Waits until the driver and NVML have answered, or the command is to end at once: a process that ends while they begin on
 * another thread may hang or crash in their destructors.
 */
async function answered({ driver, gpus }: MachineAnswers, signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted === true) return;
  const ended = new AbortController();
  const aborted = signal && once(signal, 'abort', { signal: ended.signal }).catch(() => undefined);
  await Promise.race([Promise.allSettled([driver, gpus]), ...(aborted ? [aborted] : [])]);
  ended.abort();
}

/**
 * Finds an image, and asks this machine meanwhile. Where there is none, no question is left open.
 * @throws {@link RegistryError} as {@link findImage}
 */
export async function findAndAsk(
  reference: string,
  options: ImageCheckOptions,
  cache?: ImageCache,
): Promise<{ image: FoundImage; machine: MachineAnswers }> {
  parseReference(reference); // one that is none needs no machine
  const machine = askMachine(options);
  try {
    return { image: await findImage(reference, options, cache), machine };
  } catch (error) {
    await answered(machine, options.signal);
    throw error;
  }
}

async function checkGpus(
  { description: { stack }, digest }: FoundImage,
  options: ImageCheckOptions,
  machine: MachineAnswers,
  found: Findings,
): Promise<void> {
  if (stack.driver === null) return;
  const env = await environmentOfGpus(stack.gpus.map(({ name }) => name));
  const { CRIU_CUDA_DEVICE_MAP: named } = loadSettings(env).settings;
  const isAsked = env.CRIU_CUDA_DRIVER === process.env.CRIU_CUDA_DRIVER;
  const { driver, gpus: report } = isAsked ? machine : askAboutGpus(env);
  try {
    const { version } = await driver;
    if (version < stack.driver)
      found.problems.push({
        text: `it was dumped with a driver for CUDA ${formatCudaVersion(stack.driver)}; the one here is for ${formatCudaVersion(version)}`,
        remedy: 'install the same driver, or a later one',
      });
    if (named !== '') return;
    const { gpus } = await report;
    const visible = visibleGpus(gpus, process.env.CUDA_VISIBLE_DEVICES);
    let choice = chooseGpus(stack.gpus, visible);
    const isEasy = choice.problems.length === 0 && choice.map.length === 0;
    if (!isEasy && (await isResident(imageDir(options, digest), options.signal)))
      choice = chooseGpus(stack.gpus, visible.map(asIfFree));
    found.deviceMap.push(...choice.map);
    const remedy = 'restore it on a machine with such a GPU, or free its memory: criu-cuda context list';
    found.problems.push(...choice.problems.map((text) => ({ text, remedy })));
  } catch (error) {
    found.problems.push(problemOf(error));
  }
}

/** Why the CPU cannot do what the one of the dump could, as criu says it; empty if it can. */
async function askAboutCpu(cpu: string, criu: string): Promise<string> {
  const dir = makeTemporaryDirectory('criu-cuda-cpu-');
  try {
    writeFileSync(join(dir, 'cpuinfo.img'), Buffer.from(cpu, 'base64'));
    const { exitCode, stderr, stdout } = await execResult(criu, ['cpuinfo', 'check', '--images-dir', dir]);
    if (exitCode === 0) return '';
    const lines = tailOf(stderr === '' ? stdout : stderr, 3).split('\n');
    const reasons = lines.map((line) => line.replace(/^(?:\(\d+\.\d+\) *)?Error \([^)]*\): */, '').trim());
    return reasons.filter((one) => one !== '').join('; ') || 'criu does not say what';
  } finally {
    removeTemporaryDirectory(dir);
  }
}

const isPassed = (value: unknown): value is true => value === true;

/** Whether the CPU has what the one of the dump had. criu is not asked again what it has answered with yes since boot. */
async function checkCpu(cpu: string, criu: string, found: Findings): Promise<void> {
  let reason = '';
  await learned(
    { question: 'criu-cpuinfo', programs: [resolve(criu)], circumstances: cpu },
    isPassed,
    async () => {
      reason = await askAboutCpu(cpu, criu);
      return reason === '' ? true : undefined;
    },
  );
  if (reason === '') return;
  found.problems.push({
    text: `the CPU lacks what the one of the dump had: ${reason}`,
    remedy: 'restore it on a machine with the same type of CPU, or a later one',
  });
}

async function checkCriu(stack: DriverStack, machine: MachineAnswers, found: Findings): Promise<void> {
  const { criu, rejected } = await machine.criu;
  if (!criu) {
    const reasons = rejected.map(({ path, reason }) => `${path}: ${reason}`).join('; ');
    found.problems.push({
      text: `cannot find a usable criu${reasons === '' ? '' : `: ${reasons}`}`,
      remedy: rejected.find(({ remedy }) => remedy !== undefined)?.remedy ?? 'criu-cuda setup',
    });
    return;
  }
  const { version } = criu;
  if (stack.criu !== null && version !== undefined && compareVersions(version, stack.criu) < 0)
    found.problems.push({
      text: `it was dumped with CRIU ${stack.criu}; the one here is ${version}`,
      remedy: `install CRIU ${stack.criu} or a later version: criu-cuda setup`,
    });
  if (stack.cpu !== null) await checkCpu(stack.cpu, criu.path, found);
}

function checkPlugin({ variants, protocol, plugin, interceptor }: DriverStack, found: Findings): void {
  const names = pluginVariants.filter((name) => variants?.includes(name));
  if (names.length > 0 && !names.some((name) => existsSync(variantDir(name))))
    found.problems.push({
      text: `it needs a variant of the plugin that is not built here: ${variants ?? ''}`,
      remedy: 'criu-cuda build',
    });
  const { min, max } = supportedProtocols;
  if (protocol !== null && (protocol < min || protocol > max))
    found.problems.push({
      text: `its interceptor speaks protocol ${protocol}; this version restores ${min} to ${max}`,
      remedy: `use criu-cuda ${plugin ?? ''}`.trim(),
    });
  if (interceptor !== null && !isBuildId(readBuildId(interceptor.path), interceptor.buildId))
    found.problems.push({
      text: `the interceptor of its programs is not here: ${interceptor.path}, build id ${interceptor.buildId}`,
      remedy: 'copy the file from the machine of the dump, to the same path',
    });
}

function checkMemory({ files }: Description, found: Findings): void {
  const needed = files
    .filter(({ name }) => /^(?:pages-|cuda-pages-)/.test(name))
    .reduce((sum, { size }) => sum + size, 0);
  const free = availableHostMemory() ?? Infinity;
  if (needed <= free) return;
  found.problems.push({
    text: `its processes have ${formatBytes(needed)} of host memory; ${formatBytes(free)} are available`,
    remedy:
      'end other programs, raise the memory limit of the cgroup, or restore it on a machine with more memory',
  });
}

const firstNumbers = (text: string): string => /^\d+\.\d+/.exec(text)?.[0] ?? '0';

function checkSystem(stack: DriverStack, kernel: string, found: Findings): void {
  if (stack.architecture !== architecture())
    found.problems.push({
      text: `it was dumped on ${stack.architecture}; this machine is ${architecture()}`,
      remedy: 'restore it on a machine of that architecture',
    });
  if (stack.kernel !== null && compareVersions(firstNumbers(kernel), firstNumbers(stack.kernel)) < 0)
    found.warnings.push(
      `the kernel here, ${kernel}, is older than ${stack.kernel} of the dump: what the program used of it may be missing`,
    );
  const unknown = [
    ...(stack.kernel === null ? ['kernel'] : []),
    ...(stack.criu === null ? ['CRIU'] : []),
    ...(stack.cpu === null ? ['CPU'] : []),
  ];
  if (unknown.length > 0)
    found.warnings.push(
      `not compared, because the image does not say what the dump had: ${unknown.join(', ')}`,
    );
}

async function checkRoom(image: FoundImage, options: CacheOptions, found: Findings): Promise<number> {
  try {
    const cache = new ImageCache(options);
    const missing = sizeOf(await missingLayers(cache, image.layers, false));
    const problem = spaceProblem(image.reference, cache, missing, sizeOf(image.layers));
    if (problem) found.problems.push(problemOf(problem));
    return missing;
  } catch (error) {
    found.problems.push(problemOf(error));
    return sizeOf(image.layers);
  }
}

/** The same for an image that was found. */
export async function checkFound(
  image: FoundImage,
  options: ImageCheckOptions,
  machine = askMachine(options),
): Promise<ImageCheck> {
  const { description, reference, digest } = image;
  const { stack } = description;
  const found: Findings = { problems: [], warnings: [], deviceMap: [] };
  checkSystem(stack, options.kernel ?? release(), found);
  // two programs and the driver are asked: at the same time
  const ofCriu: Findings = { problems: [], warnings: [], deviceMap: [] };
  try {
    await Promise.all([checkGpus(image, options, machine, found), checkCriu(stack, machine, ofCriu)]);
  } finally {
    await answered(machine, options.signal);
  }
  found.problems.push(...ofCriu.problems);
  checkPlugin(stack, found);
  checkMemory(description, found);
  if (image.layers.some(isCompressed) && !hasZstd())
    found.problems.push({
      text: 'zstd is missing, which decompresses it',
      remedy: 'apt-get install --no-install-recommends zstd',
    });
  const missingBytes = await checkRoom(image, options, found);
  return { reference, digest, canRestore: found.problems.length === 0, ...found, missingBytes };
}

/**
 * Compares what an image needs with this machine: architecture, kernel, driver, GPUs and their memory, CRIU, CPU, plugin,
 * interceptor, host memory, room in the cache. No block is moved. Files that the programs had open are compared only when
 * the image is here, by `checkRestore`.
 */
export async function checkImage(reference: string, options: ImageCheckOptions = {}): Promise<ImageCheck> {
  const { image, machine } = await findAndAsk(reference, options);
  return checkFound(image, options, machine);
}
