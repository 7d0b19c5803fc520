// SPDX-License-Identifier: MIT
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { projectRoot } from '../../../lib/paths.ts';
import { backgroundNames } from '../../../lib/process/background.ts';

/** Names of processes that C sources below a folder set, as string literals. */
function processNames(folder: string): string[] {
  const path = join(projectRoot, 'plugins-cuda', folder);
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.c'))
    .flatMap((name) => [...readFileSync(join(path, name), 'utf8').matchAll(/"(cuda-\w+(?:-\w+)*)"/g)])
    .map(([, name = '']) => name);
}

it("collects the plugin's background processes by the names that C gives them, but for the watcher", () => {
  const names = [...processNames('plugin'), ...processNames('pool')];
  expect([...new Set(names.filter((name) => backgroundNames.test(name)))].sort()).toEqual([
    'cuda-driver',
    'cuda-pool-once',
    'cuda-preinit',
    'cuda-readahead',
  ]);
  expect(names).toContain('cuda-watcher');
  expect('cuda-watcher').not.toMatch(backgroundNames);
});
