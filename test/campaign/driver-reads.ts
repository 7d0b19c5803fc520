// SPDX-License-Identifier: MIT
/**
 * What the driver reads of a program's large mapping when it restores the program. At a restore that memory may still be
 * on its way, and the driver must wait for it.
 */
import { closeSync, existsSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The mapping's last two pages change. */
const PIECE_BYTES = 64 * 1024;

/** Of a private mapping of exactly this size. */
function findMapping(pid: number, bytes: number): number {
  for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const [, start = '', end = ''] = /^([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ 0 *$/.exec(line) ?? [];
    if (parseInt(end, 16) - parseInt(start, 16) === bytes) return parseInt(start, 16);
  }
  throw new Error(`${pid} has no mapping of ${bytes} bytes`);
}

/** As softcuda computes it. */
function sumOf(sum: number, bytes: Buffer): number {
  return bytes.reduce((before, byte) => (Math.imul(before, 31) + byte) >>> 0, sum);
}

function readMemory(pid: number, address: number, bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    for (let done = 0; done < bytes;) done += readSync(memory, buffer, done, bytes - done, address + done);
  } finally {
    closeSync(memory);
  }
  return buffer;
}

export class DriverReads {
  readonly #path: string;
  #expected = '';

  constructor(dir: string) {
    this.#path = DriverReads.pathIn(dir);
  }

  /** For SOFTCUDA_RESTORE_READS; while there is no such file, the driver reads nothing. */
  static pathIn(dir: string): string {
    return join(dir, 'reads');
  }

  /** Chooses a piece in the middle, and one near the end, which comes last. */
  choose(pid: number, mappingBytes: number): void {
    const start = findMapping(pid, mappingBytes);
    const pieces = [start + mappingBytes / 2, start + mappingBytes - 2 * PIECE_BYTES];
    const sum = pieces.reduce((before, at) => sumOf(before, readMemory(pid, at, PIECE_BYTES)), 0);
    this.#expected = `${sum}\n`;
    writeFileSync(
      this.#path,
      pieces.map((at) => `${at.toString(16)} ${PIECE_BYTES.toString(16)}\n`).join(''),
    );
  }

  /** In words, if the driver has read anything else; empty otherwise. */
  get difference(): string {
    const path = `${this.#path}.sum`;
    const found = existsSync(path) ? readFileSync(path, 'utf8') : this.#expected;
    return found === this.#expected ? '' : 'the driver has read other bytes of the large mapping; ';
  }
}
