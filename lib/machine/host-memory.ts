// SPDX-License-Identifier: MIT
import { readFileSync } from 'node:fs';

/** What the kernel can give without swapping. @returns bytes; `undefined` where it does not say */
export function availableHostMemory(): number | undefined {
  const kibibytes = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
}
