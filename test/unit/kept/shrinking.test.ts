// SPDX-License-Identifier: MIT
import { mkdtempSync, realpathSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { copyContents, hasContents } from '../../../lib/kept/contents.ts';

/** Called before a file is read. */
let meanwhile = (): void => undefined;
vi.mock('../../../lib/native/index.ts', () => ({
  dataRanges: (_fd: number, size: number) => {
    meanwhile();
    return size === 0 ? [] : [[0, size]];
  },
}));

it('a file that becomes shorter while it is copied is not kept, and not taken for the same', () => {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'ccr-shrinking-')));
  const [file, copied] = [join(dir, 'file'), join(dir, 'copied')];
  try {
    writeFileSync(file, Buffer.alloc(3 << 20));
    copyContents(file, statSync(file), copied);
    expect(hasContents(file, copied, true)).toBe(true);
    meanwhile = () => {
      truncateSync(file, 1 << 20);
    };
    expect(hasContents(file, copied, true)).toBe(false);
    truncateSync(file, 3 << 20);
    expect(() => {
      copyContents(file, statSync(file), `${copied}-again`);
    }).toThrow(`has ${1 << 20} bytes now, and had ${3 << 20}`);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
