// SPDX-License-Identifier: MIT
/**
 * Foreign function calls as a backend: libcuda, NVML and libc without a compiled addon.
 * @module
 */
import { koffiDriver } from './koffi-driver.ts';
import { koffiLibc } from './koffi-libc.ts';
import { Loader, type Koffi } from './koffi-loader.ts';
import { koffiNvml } from './koffi-nvml.ts';
import { procMemory } from './proc-memory.ts';
import type { Backend } from './types.ts';

export function koffiBackend(koffi: Koffi): Backend {
  const loader = new Loader(koffi);
  return {
    name: 'koffi',
    libc: koffiLibc(koffi),
    memory: procMemory,
    openDriver: koffiDriver(loader),
    ...koffiNvml(loader),
  };
}
