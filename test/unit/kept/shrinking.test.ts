// SPDX-License-Identifier: MIT
import { mkdtempSync, realpathSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { createPause } from '../../../lib/abortable.ts';
import { copyContents, hasContents } from '../../../lib/kept/contents.ts';

const pause = createPause(undefined);

/** Called before a file is read. */
let meanwhile = (): void => undefined;
vi.mock('../../../lib/native/index.ts', () => ({
  dataRanges: (_fd: number, size: number) => {
    meanwhile();
    return size === 0 ? [] : [[0, size]];
  },
}));

it('a file that becomes shorter while it is copied is not kept, and not taken for the same', async () => {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'ccr-shrinking-')));
  const [file, copied] = [join(dir, 'file'), join(dir, 'copied')];
  try {
    writeFileSync(file, Buffer.alloc(3 << 20));
    await copyContents(file, statSync(file), copied, pause);
    expect(await hasContents(file, copied, true, pause)).toBe(true);
    meanwhile = () => {
      truncateSync(file, 1 << 20);
    };
    expect(await hasContents(file, copied, true, pause)).toBe(false);
    truncateSync(file, 3 << 20);
    await expect(copyContents(file, statSync(file), `${copied}-again`, pause)).rejects.toThrow(
      `has ${1 << 20} bytes now, and had ${3 << 20}`,
    );
  } finally {
    rmSync(dir, { recursive: true });
  }
});
