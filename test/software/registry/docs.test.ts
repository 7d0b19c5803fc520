// SPDX-License-Identifier: MIT
/** The blocks of docs/ that are marked registry, typed in the order of their page, with a registry of their own. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { writeLauncher } from '../../../lib/setup/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { needPrograms, TestRegistry } from '../../helpers/registry.ts';
import { pages, shellBlocks } from '../../helpers/shell-blocks.ts';

const TIMEOUT_MS = 300_000;
/** Hash of "secret". */
const PASSWORD = 'reader:$2b$04$4ixWpUL79Il90Vf78K5tE.TWfPliWTP7nDZnIW1sseytPAsGecgJq\n';

const marked = pages
  .map((page) => ({ page, blocks: shellBlocks(page).filter(({ mark }) => mark === 'registry') }))
  .filter(({ blocks }) => blocks.length > 0);

let machine: Machine;
let registry: TestRegistry;
let pid: number;
beforeEach(async (context) => {
  needPrograms(context, 'skopeo', 'docker-registry', 'age');
  machine = new Machine();
  const dir = join(machine.dir, 'registry');
  mkdirSync(dir);
  writeFileSync(join(dir, 'passwords'), PASSWORD);
  registry = await TestRegistry.start(
    dir,
    `auth: {htpasswd: {realm: test, path: ${join(dir, 'passwords')}}}`,
  );
  mkdirSync(join(machine.dir, 'home'));
  writeLauncher(join(machine.dir, 'bin'));
  const workload = await machine.start({ env: { LD_PRELOAD: interceptorLibrary() } });
  ({ pid } = workload);
  const run = await machine.dump(workload, { libdir: variantDir('parallel') });
  expect(run.exitCode, run.log.slice(-2000)).toBe(0);
});
afterEach(async () => {
  await machine.kill(pid); // the page restores it
  await registry.stop();
  await machine.close();
});

it.each(marked)(
  '$page',
  async ({ blocks }) => {
    const home = join(machine.dir, 'home');
    const env = {
      ...machine.env,
      ...{ HOME: home, XDG_CACHE_HOME: undefined, REGISTRY_AUTH_FILE: join(home, 'auth.json') },
      CRIU_CUDA_CRIU: criuProgram(),
      PATH: `${join(machine.dir, 'bin')}:${process.env.PATH ?? ''}`,
    };
    const key = (): string => /age1\w+/.exec(readFileSync(join(home, 'llama.key'), 'utf8'))?.[0] ?? '';
    for (const command of blocks.flatMap(({ commands }) => commands)) {
      const typed = command
        .replace('skopeo login', 'skopeo login --tls-verify=false --username reader --password secret')
        .replaceAll('registry.example.com', `127.0.0.1:${registry.port}`)
        .replaceAll('/var/lib/', `${home}/`)
        .replace(/(?<![\w/])DIR\b/, machine.imagesDir)
        .replace('AGE_PUBLIC_KEY', () => key());
      const { exitCode, stderr, stdout } = await execResult('bash', ['-c', typed], { cwd: home, env });
      expect(exitCode, `${typed}\n${stderr}${stdout}`).toBe(0);
    }
  },
  TIMEOUT_MS,
);
