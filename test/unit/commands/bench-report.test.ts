// SPDX-License-Identifier: MIT
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { main } from '../../../lib/program.ts';
import { result } from '../../helpers/results.ts';
import { captureIo } from '../cli/capture.ts';

let dir: string;
let [old, now]: [string, string] = ['', ''];

function put(name: string, ms: number): string {
  const path = join(dir, name);
  writeFileSync(path, JSON.stringify(result({ stock: [ms, ms + 1, ms + 2] })));
  return path;
}
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-report-'));
  [old, now] = [put('old.json', 20), put('now.json', 10)];
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

async function report(...words: string[]): Promise<{ code: number; text: string }> {
  const { io, stdout, stderr } = captureIo();
  const code = await main(['bench', 'report', '--no-write', ...words], io);
  return { code, text: stdout() + stderr() };
}

it('compares the second result with the first, like --against', async () => {
  const compared = await report(old, now);
  expect(compared.code).toBe(0);
  expect(compared.text).toContain(`now compared with ${old}`);
  expect(compared.text).toMatch(/stock +0\.021 +0\.011 +1\.91×/);
  expect(await report(now, '--against', old)).toEqual(compared);
  expect(existsSync(join(dir, 'report.html'))).toBe(false);
});

it('refuses two earlier results', async () => {
  const refused = await report(old, now, '--against', old);
  expect(refused).toMatchObject({ code: 2, text: expect.stringContaining('two earlier results') as string });
});
