// SPDX-License-Identifier: MIT
/**
 * What a checkpoint needs of a machine, as far as its images and this machine tell: kernel, CRIU and CPU are not in the
 * images, and are known only on the machine that made them, since its last start.
 * @module
 */
import { readFileSync } from 'node:fs';
import { arch, release } from 'node:os';
import { join } from 'node:path';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../directory.ts';
import { inventoryNeeds, readInventory, readPstree, variantsFor } from '../criu/index.ts';
import { execResult } from '../exec.ts';
import { readGpuImages, readPageImages, type GpuImage } from '../images/index.ts';
import { readManifest, readOrigin } from '../kept/index.ts';
import { currentSystem, findCriu, readBootId } from '../machine/index.ts';
import { interceptorFileNames } from '../paths.ts';
import type { DriverStack } from './format.ts';

/** As in uname. */
export const architecture = (): string => (arch() === 'arm64' ? 'aarch64' : 'x86_64');

/** The bytes that the processes had on each GPU. */
function gpusOf(images: readonly GpuImage[]): DriverStack['gpus'] {
  const gpus = new Map<string, { uuid: string; name: string; bytes: number }>();
  for (const { manifest } of images) {
    for (const [index, { uuid, name }] of manifest.devices.entries()) {
      const gpu = gpus.get(uuid) ?? { uuid, name, bytes: 0 };
      for (const { device, size } of manifest.allocations) if (device === index) gpu.bytes += size;
      gpus.set(uuid, gpu);
    }
  }
  return [...gpus.values()];
}

/** What criu says about the CPU of this machine. @returns `undefined` where it cannot */
async function describeCpu(criu: string, signal: AbortSignal | undefined): Promise<string | null> {
  const dir = makeTemporaryDirectory('criu-cuda-cpu-');
  try {
    const { exitCode } = await execResult(criu, ['cpuinfo', 'dump', '--images-dir', dir], { signal });
    return exitCode === 0 ? readFileSync(join(dir, 'cpuinfo.img')).toString('base64') : null;
  } finally {
    removeTemporaryDirectory(dir);
  }
}

type MachineFacts = Pick<DriverStack, 'kernel' | 'criu' | 'cpu'>;

const unknownMachine: MachineFacts = { kernel: null, criu: null, cpu: null };

async function machineFacts(imagesDir: string, signal: AbortSignal | undefined): Promise<MachineFacts> {
  if (readOrigin(imagesDir)?.bootId !== readBootId()) return unknownMachine;
  const { criu } = await findCriu(currentSystem(signal), { check: false });
  const cpu = criu === undefined ? null : await describeCpu(criu.path, signal);
  return { kernel: release(), criu: criu?.version ?? null, cpu };
}

/** The interceptor among the files of the tree. */
function interceptorOf(imagesDir: string): DriverStack['interceptor'] {
  for (const { paths, buildId } of readManifest(imagesDir)?.files ?? []) {
    const path = paths.find((one) => interceptorFileNames.test(one.slice(one.lastIndexOf('/') + 1)));
    if (path !== undefined && buildId !== undefined) return { path, buildId };
  }
  return null;
}

/** Reads what the images say, and adds what this machine knows. */
export async function readStack(imagesDir: string, signal: AbortSignal | undefined): Promise<DriverStack> {
  const images = await readGpuImages(imagesDir);
  const pages = await readPageImages(imagesDir);
  const [first] = images;
  return {
    driver: first?.manifest.driver ?? null,
    gpus: gpusOf(images),
    architecture: architecture(),
    ...(await machineFacts(imagesDir, signal)),
    plugin: first?.manifest.tool ?? pages[0]?.tool ?? null,
    variants: variantsFor(inventoryNeeds(imagesDir, readInventory(imagesDir))) ?? null,
    interceptor: interceptorOf(imagesDir),
    protocol: first?.manifest.protocol ?? null,
    processes: readPstree(imagesDir)?.length ?? 0,
  };
}
