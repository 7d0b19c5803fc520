// SPDX-License-Identifier: MIT
import { dirname, join } from 'node:path';

/** `libcuda.so.1` by the loader's own search, then where containers and operators put it; driver.c has the same list. */
export const driverCandidates: readonly string[] = [
  'libcuda.so.1',
  '/run/nvidia/driver/usr/lib/x86_64-linux-gnu/libcuda.so.1',
  '/run/nvidia/driver/usr/lib/aarch64-linux-gnu/libcuda.so.1',
  '/run/nvidia/driver/usr/lib64/libcuda.so.1',
  '/usr/local/nvidia/lib64/libcuda.so.1',
  '/home/kubernetes/bin/nvidia/lib64/libcuda.so.1',
];

export const nvmlName = 'libnvidia-ml.so.1';

/** Where NVML may be, in order: next to the driver in use, then where drivers may be. */
export function nvmlCandidates(driver: string): string[] {
  const beside = (path: string): string => (path.includes('/') ? join(dirname(path), nvmlName) : nvmlName);
  const paths = driver === '' ? driverCandidates : [driver, ...driverCandidates];
  return [...new Set(paths.map(beside))];
}
