// SPDX-License-Identifier: MIT
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult } from '../../lib/exec.ts';
import { buildDir, projectRoot } from '../../lib/paths.ts';
import { Machine } from '../helpers/machine.ts';

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

function benchmark(...words: string[]) {
  const script = join(projectRoot, 'benchmarks', 'addon.mjs');
  return execResult(process.execPath, [script, ...words], { env: machine.env });
}

it('benchmarks/addon.mjs keeps every sample and says that it ran on the software driver', async () => {
  const out = join(machine.dir, 'addon.json');
  const tool = join(buildDir(), 'test-tools', 'cuda-checkpoint');
  const small = ['--alloc', '8Mx4', '--queries', '1000', '--pairs', '2'];
  const { stdout, stderr, exitCode } = await benchmark('--out', out, '--cuda-checkpoint', tool, ...small);
  expect(exitCode, stderr).toBe(0);
  expect(stdout).toContain('software driver: the times mean nothing');
  const result: unknown = JSON.parse(readFileSync(out, 'utf8'));
  expect(result).toMatchObject({
    environment: { software: true },
    deviceBytes: 32 * 2 ** 20,
    state: { addon: { n: 40 }, cudaCheckpoint: { n: 2 } },
    leaks: { queries: 1000 },
    eventLoop: { checksum: expect.stringMatching(/^[0-9a-f]{16}$/) as string },
  });
});

it('benchmarks/addon.mjs names a wrong option', async () => {
  expect(await benchmark('--out', 'x', '--queries', '0')).toMatchObject({ exitCode: 2 });
  expect((await benchmark()).stderr).toBe('--out FILE is missing');
});
