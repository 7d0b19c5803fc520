// SPDX-License-Identifier: MIT
/**
 * Which GPUs of this machine can take the place of those of an image.
 * @module
 */
import type { Gpu } from '../gpu/index.ts';
import { formatBytes } from '../output.ts';
import type { DriverStack } from './format.ts';

type Needed = DriverStack['gpus'][number];

/** The GPUs that a job may use, as CUDA_VISIBLE_DEVICES names them: by number or UUID. */
export function visibleGpus(gpus: readonly Gpu[], visible: string | undefined): Gpu[] {
  if (visible === undefined) return [...gpus];
  return visible.split(',').flatMap((word) => {
    const name = word.trim();
    const isNumber = /^\d+$/.test(name);
    return gpus.filter(({ index, uuid }) =>
      isNumber ? index === Number(name) : name.length > 4 && uuid.startsWith(name),
    );
  });
}

/** A choice of GPUs, or why there is none. */
export interface GpuChoice {
  /** UUIDs of the dump, and those that take their place here; none when they are the same. */
  map: [string, string][];
  /** One sentence for each GPU that has no place. */
  problems: string[];
}

const totalOf = ({ memory }: Gpu): number => memory?.totalBytes ?? Number.POSITIVE_INFINITY;
const freeOf = ({ memory }: Gpu): number => memory?.freeBytes ?? Number.POSITIVE_INFINITY;

function problemOf({ name, bytes }: Needed, gpus: readonly Gpu[]): string {
  const same = gpus.filter((gpu) => gpu.name === name);
  if (same.length === 0) {
    const here = gpus.length === 0 ? 'no GPU' : [...new Set(gpus.map((gpu) => gpu.name))].join(', ');
    return `it needs a GPU of the type ${name}; this machine has ${here}`;
  }
  const large = same.filter((gpu) => totalOf(gpu) >= bytes);
  if (large.length === 0)
    return `it needs ${formatBytes(bytes)} of device memory on one ${name}; those here have ${formatBytes(Math.max(...same.map(totalOf)))}`;
  if (large.every((gpu) => freeOf(gpu) < bytes))
    return `it needs ${formatBytes(bytes)} of free device memory on one ${name}; ${formatBytes(Math.max(...large.map(freeOf)))} are free`;
  return `it needs one more ${name} with ${formatBytes(bytes)} of free device memory`;
}

/** Chooses a GPU of the same type for each of the image: the same one if it is here, else the one with most free memory. */
export function chooseGpus(needed: readonly Needed[], gpus: readonly Gpu[]): GpuChoice {
  const left = new Set(gpus);
  const choice: GpuChoice = { map: [], problems: [] };
  const fits = (one: Needed, gpu: Gpu): boolean => gpu.name === one.name && freeOf(gpu) >= one.bytes;
  const isHere = (one: Needed): boolean => gpus.some((gpu) => gpu.uuid === one.uuid);
  // those that are here first, so that no other one gets them
  for (const one of needed.toSorted((a, b) => Number(isHere(b)) - Number(isHere(a)) || b.bytes - a.bytes)) {
    const candidates = [...left].filter((gpu) => fits(one, gpu));
    const found =
      candidates.find((gpu) => gpu.uuid === one.uuid) ??
      candidates.toSorted((a, b) => freeOf(b) - freeOf(a))[0];
    if (!found) {
      choice.problems.push(problemOf(one, gpus));
      continue;
    }
    left.delete(found);
    choice.map.push([one.uuid, found.uuid]);
  }
  if (choice.map.every(([from, to]) => from === to)) choice.map = [];
  return choice;
}
