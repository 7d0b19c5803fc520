// SPDX-License-Identifier: MIT
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Changes one bit of a file; a second time, it is as before. */
export function flipByte(dir: string, name: string, at: number): void {
  const fd = openSync(join(dir, name), 'r+');
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ 1;
  writeSync(fd, byte, 0, 1, at);
  closeSync(fd);
}
