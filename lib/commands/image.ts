// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import { addExamples, addOperands, imagesDirOperand, withOptions } from '../command-line/index.ts';
import {
  checkpointRefusal,
  GpuImageError,
  isStray,
  missingFiles,
  protocolRefusal,
  readCheckpointIndex,
  readGpuImages,
  readPageImages,
  verifyGpuImages,
  type CheckpointIndex,
  type GpuImage,
  type PageImage,
} from '../images/index.ts';
import type { Io } from '../output.ts';
import { formatBytes, formatCudaVersion, table } from '../output.ts';
import { bytesFor, withProgress } from '../progress.ts';
import { defineImageCheck } from './image-check.ts';
import { defineImageRegistry } from './image-registry.ts';
import { defineImageServe } from './image-serve.ts';

interface ShowOptions {
  allocations?: boolean | undefined;
  chunks?: boolean | undefined;
  mappings?: boolean | undefined;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, next) => total + next, 0);

/** Whether a restore takes an image from its directory: ignored, refused with a reason, or neither. */
interface Standing {
  stray: boolean;
  refusal: string | null;
}

function standingOf(image: GpuImage, index: CheckpointIndex | undefined): Standing {
  const { name, manifest } = image;
  const described = { ...manifest, name, kind: 'gpu' } as const;
  const stray = isStray(index, described);
  const refusal = protocolRefusal(manifest, name) ?? checkpointRefusal(index, described);
  return { stray, refusal: stray ? null : (refusal ?? null) };
}

function standingOfPages(image: PageImage, index: CheckpointIndex | undefined): Standing {
  const described = { ...image, kind: 'host' } as const;
  const stray = isStray(index, described);
  return { stray, refusal: stray ? null : (checkpointRefusal(index, described) ?? null) };
}

function standingText({ stray, refusal }: Standing): string[] {
  if (stray) return ['  ignored: another dump to this directory left it'];
  return refusal === null ? [] : [`  cannot be restored: ${refusal}`];
}

const PAGE = 4096;

/** What stripes of earlier checkpoints have besides the chunks. */
function unusedBytes({ manifest, stripes }: GpuImage): number {
  const used = manifest.chunks.map(({ zero, length }) => (zero ? 0 : Math.ceil(length / PAGE) * PAGE));
  return sum(stripes.map(({ size }) => size)) - sum(used);
}

function summary(image: GpuImage, index: CheckpointIndex | undefined) {
  const { chunks, allocations, created, ...rest } = image.manifest;
  const zero = chunks.filter((chunk) => chunk.zero);
  return {
    name: image.name,
    ...rest,
    ...standingOf(image, index),
    created: created.toISOString(),
    bytes: sum(allocations.map((entry) => entry.size)),
    storedBytes: sum(image.stripes.map((stripe) => stripe.size)),
    sharedBytes: sum(image.stripes.map(({ size, links }) => (links > 1 ? size : 0))),
    unusedBytes: unusedBytes(image),
    zeroBytes: sum(zero.map((chunk) => chunk.length)),
    nrAllocations: allocations.length,
    nrChunks: chunks.length,
    nrZeroChunks: zero.length,
    stripes: image.stripes,
  };
}

function asJson(
  image: GpuImage,
  index: CheckpointIndex | undefined,
  options: ShowOptions,
): Record<string, unknown> {
  const { allocations, chunks } = image.manifest;
  return {
    ...summary(image, index),
    ...(options.allocations === true ? { allocations } : {}),
    ...(options.chunks === true ? { chunks } : {}),
  };
}

function asText(image: GpuImage, index: CheckpointIndex | undefined, options: ShowOptions): string {
  const facts = summary(image, index);
  const lines = [
    `${facts.name}  pid ${facts.pid}, id ${facts.id}`,
    `  written ${facts.created} by criu-cuda ${facts.tool}, CUDA driver API ${formatCudaVersion(facts.driver)}, protocol ${facts.protocol}`,
    ...standingText(facts),
    ...(facts.isDriver ? ['  handed over by the driver (custom storage): all memory of each GPU'] : []),
    `  ${facts.nrAllocations} allocations, ${formatBytes(facts.bytes)}: ${formatBytes(facts.storedBytes)} stored, ` +
      `${formatBytes(facts.zeroBytes)} zero`,
    `  ${facts.nrChunks} chunks of at most ${formatBytes(facts.chunkSize)}, ${facts.nrZeroChunks} zero`,
    ...(facts.sharedBytes === 0
      ? []
      : [`  ${formatBytes(facts.sharedBytes)} in files that other directories have as well`]),
    ...(facts.unusedBytes === 0
      ? []
      : [`  ${formatBytes(facts.unusedBytes)} of the stripes are of earlier checkpoints, and not used`]),
    ...facts.devices.map((device, index) => `  device ${index}: ${device.uuid} ${device.name}`),
    ...facts.stripes.map((stripe) => `  ${stripe.name}  ${formatBytes(stripe.size)}`),
  ];
  if (options.allocations === true) {
    const rows = image.manifest.allocations.map((entry) => [
      String(entry.id),
      `0x${entry.address.toString(16)}`,
      String(entry.size),
      String(entry.requested),
      String(entry.device),
      image.manifest.isDriver ? 'any call' : entry.isOwnVmm ? 'cuMemCreate' : 'cuMemAlloc',
    ]);
    lines.push(table(['id', 'address', 'bytes', 'requested', 'device', 'allocated with'], rows));
  }
  if (options.chunks === true) {
    const rows = image.manifest.chunks.map((chunk) => [
      String(chunk.allocation),
      String(chunk.position),
      String(chunk.length),
      chunk.zero ? 'zero' : `${chunk.stripe}:${chunk.offset}`,
      chunk.zero ? '' : chunk.xxh3.toString(16).padStart(16, '0'),
    ]);
    lines.push(table(['allocation', 'position', 'bytes', 'stripe', 'xxh3'], rows));
  }
  return lines.join('\n');
}

function pagesAsJson(
  image: PageImage,
  index: CheckpointIndex | undefined,
  options: ShowOptions,
): Record<string, unknown> {
  const { mappings, emptied, created, ...rest } = image;
  return {
    ...rest,
    ...standingOfPages(image, index),
    created: created.toISOString(),
    nrMappings: mappings.length,
    ...(options.mappings === true ? { mappings, emptied } : {}),
  };
}

function pagesAsText(image: PageImage, index: CheckpointIndex | undefined, options: ShowOptions): string {
  const lines = [
    `${image.name}  pid ${image.pid}, host memory`,
    `  written ${image.created.toISOString()} by criu-cuda ${image.tool}${image.directory === '' ? '' : ` to ${image.directory}`}`,
    `  ${image.mappings.length} mappings of ${image.file}  ${formatBytes(image.stored)} stored`,
    ...standingText(standingOfPages(image, index)),
  ];
  if (options.mappings === true) {
    const rows = image.mappings.map((entry) => [
      `0x${entry.address.toString(16)}`,
      String(entry.size),
      String(entry.offset),
      entry.drivers ? 'driver' : 'application',
      entry.shared ? 'shared' : 'private',
    ]);
    lines.push(table(['address', 'bytes', 'offset', 'mapped by', 'kind'], rows));
  }
  return lines.join('\n');
}

async function show(io: Io, directory: string, options: ShowOptions): Promise<void> {
  const images = await readGpuImages(directory);
  const pages = await readPageImages(directory);
  const index = await readCheckpointIndex(directory);
  const deviceFiles = index?.deviceFiles ?? [];
  if (images.length + pages.length + deviceFiles.length === 0) {
    throw new GpuImageError(
      `${directory}: no GPU image (cuda-<pid>.img) and no page file (cuda-host-<pid>.img)`,
    );
  }
  const missing = missingFiles(index, new Set([...images, ...pages].map(({ name }) => name))).map(
    (name) => `${name}: missing; cuda.img lists it`,
  );
  const json = {
    checkpoint: index?.id ?? null,
    missing,
    images: images.map((image) => asJson(image, index, options)),
    pages: pages.map((image) => pagesAsJson(image, index, options)),
    deviceFiles,
  };
  const isRefused = [...json.images, ...json.pages].some(({ refusal }) => refusal !== null);
  if (isRefused || missing.length > 0) io.exitCode = 1;
  io.result(json, () =>
    [
      ...images.map((image) => asText(image, index, options)),
      ...pages.map((image) => pagesAsText(image, index, options)),
      ...deviceFiles.map(({ path, gpu }) => `open device file ${path}${gpu === null ? '' : ` of ${gpu}`}`),
      ...missing,
    ].join('\n'),
  );
}

async function verify(io: Io, directory: string): Promise<void> {
  const images = await withProgress(io, `reading the images in ${directory}`, (report) =>
    verifyGpuImages(directory, { signal: io.signal, onProgress: bytesFor(io, report) }),
  );
  if (images.some((image) => !image.ok)) io.exitCode = 1;
  io.result({ images }, () =>
    images
      .map((image) =>
        image.ok
          ? `${image.manifest}: ok, ${image.chunks} chunks, ${formatBytes(image.storedBytes)} read`
          : `${image.manifest}: ${image.error ?? 'damaged'}`,
      )
      .join('\n'),
  );
}

export function defineImage(image: Command, io: Io): void {
  const shown = image
    .command('show')
    .description('show what the GPU images and page files of a directory contain');
  addOperands(shown, [imagesDirOperand()])
    .option('--allocations', 'list every allocation')
    .option('--chunks', 'list every chunk')
    .option('--mappings', 'list every mapping of host memory')
    .action(withOptions((flags: ShowOptions & { imagesDir: string }) => show(io, flags.imagesDir, flags)));
  addExamples(
    shown,
    'criu-cuda image show /var/lib/images',
    'criu-cuda image show /var/lib/images --chunks --json',
  );
  defineImageCheck(image.command('check'), io);
  const verified = image
    .command('verify')
    .description('read the GPU images and page files of a directory and verify every checksum');
  addOperands(verified, [imagesDirOperand()]).action(
    withOptions(({ imagesDir }: { imagesDir: string }) => verify(io, imagesDir)),
  );
  addExamples(verified, 'criu-cuda image verify /var/lib/images');
  defineImageRegistry(image, io);
  defineImageServe(image, io);
}
