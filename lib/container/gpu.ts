// SPDX-License-Identifier: MIT
/**
 * Gives a container real GPUs: with NVIDIA's CDI file, or with explicit flags if there is none.
 * @module
 */
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { EnvironmentError } from '../errors.ts';

/** `cdi`: `--device nvidia.com/gpu=all`; `devices`: the device nodes and driver libraries one by one. */
export type GpuAccess = 'cdi' | 'devices' | 'none';

/** Libraries of the driver that a CUDA program loads. */
const driverLibraries = [
  'libcuda.so.1',
  'libnvidia-ml.so.1',
  'libnvidia-ptxjitcompiler.so.1',
  'libnvidia-nvvm.so.4',
  'libnvidia-gpucomp.so',
];

const libraryDirs = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64', '/usr/lib'];

/** Whether the kernel driver knows a GPU. */
export function hasGpu(proc = '/proc/driver/nvidia/gpus'): boolean {
  return existsSync(proc) && readdirSync(proc).length > 0;
}

function deviceNodes(dev: string): string[] {
  return readdirSync(dev)
    .filter((name) => /^nvidia(\d+|ctl|-uvm|-uvm-tools|-modeset)$/.test(name))
    .map((name) => join(dev, name));
}

/** Mounts the files of the libraries under the names by which programs in the container look for them. */
function libraries(dirs: readonly string[]): string[] {
  return driverLibraries.flatMap((name) => {
    const link = dirs.map((dir) => join(dir, name)).find((path) => existsSync(path));
    return link === undefined ? [] : ['--volume', `${realpathSync(link)}:${link}:ro`];
  });
}

/** Flags of podman. @throws {@link EnvironmentError} when there is no GPU */
export function gpuFlags(
  access: GpuAccess = hasGpu() ? 'cdi' : 'none',
  dev = '/dev',
  dirs = libraryDirs,
): string[] {
  if (access === 'none') return [];
  if (access === 'cdi') return ['--device', 'nvidia.com/gpu=all'];
  const nodes = deviceNodes(dev);
  if (nodes.length === 0) {
    throw new EnvironmentError('there is no GPU for the container', [
      { what: `${dev}/nvidia0`, remedy: 'install the NVIDIA driver, or use --gpu none' },
    ]);
  }
  return [...nodes.flatMap((node) => ['--device', node]), ...libraries(dirs)];
}
