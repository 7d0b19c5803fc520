// SPDX-License-Identifier: MIT
/**
 * The blocks of docs/ that are marked podman, typed in the order of their page, with an image and a server of this
 * machine. tasks.test.ts does that of README.md.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { findContainer, removeContainer } from '../../../lib/container/index.ts';
import { exec, execResult } from '../../../lib/exec.ts';
import { writeLauncher } from '../../../lib/setup/index.ts';
import { freePort, prepareContainers } from '../../helpers/container.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { pages, shellBlocks, type Block } from '../../helpers/shell-blocks.ts';
import { Terminal } from './terminal.ts';

const TIMEOUT_MS = 600_000;
/** The pages' names of containers. */
const NAMES = ['web', 'web2', 'llm', 'llm-bench', 'llm2'];
const uniqueName = (name: string): string => `criu-cuda-docs-${name}-${process.pid}`;

const marked = pages
  .filter((page) => page !== 'README.md')
  .map((page) => ({ page, blocks: shellBlocks(page).filter(({ mark }) => mark === 'podman') }))
  .filter(({ blocks }) => blocks.length > 0);

/** What a block changes on the machine is changed in a terminal with an /etc of its own. */
const isSetup = (command: string): boolean => /^criu-cuda (?:container setup|doctor)\b/.test(command);

let machine: Machine;
let image: string;
let port: number;

beforeEach(async (context) => {
  const found = await prepareContainers();
  if (found.image === undefined) return context.skip(found.reason);
  machine = new Machine();
  port = await freePort();
  // an image with the server as its program, for a block that names none
  image = `localhost/criu-cuda-docs-${process.pid}`;
  const file = join(machine.dir, 'Containerfile');
  const program = JSON.stringify(['/bin/workload-pattern', '--alloc', '8Mx3', '--http', String(port)]);
  writeFileSync(file, `FROM ${found.image}\nCMD ${program}\n`);
  await exec('podman', ['build', '--quiet', '--tag', image, '--file', file, machine.dir]);
  mkdirSync(join(machine.dir, 'home'));
  writeLauncher(join(machine.dir, 'bin'));
  const settings = { CONT_NAME: uniqueName('llm'), VLLM_IMAGE: image, API_PORT: port };
  const lines = { ...settings, CHECKPOINT_DIR: join(machine.dir, 'store'), WARMUP_REQUESTS: 1 };
  const text = Object.entries(lines).map(([key, value]) => `${key}=${value}\n`);
  writeFileSync(join(machine.dir, 'home', '.env'), text.join(''));
});
afterEach(async () => {
  for (const name of NAMES) await removeContainer(uniqueName(name));
  await exec('podman', ['image', 'rm', '--force', image]);
  await machine.close();
});

/** The same line with what this machine has in place of the reader's. */
function filledIn(command: string): string {
  const program = `/bin/workload-pattern --alloc 8Mx3 --http ${port}`;
  const words = command
    .replace(/ #.*$/, '')
    .replace(/python3 server\.py|vllm serve MODEL/, program)
    .replaceAll('--preset vllm', '--preset python-server')
    .replaceAll('/var/lib/criu-cuda/images', join(machine.dir, 'store'))
    .replaceAll(/\bIMAGE\b/g, image)
    .replaceAll(':8000', `:${port}`)
    // one round shows that it works
    .replaceAll(/ --rounds \d+/g, '')
    .replace(/golden bench(.*?)( -- |$)/s, 'golden bench$1 --rounds 1 --warmup 0$2');
  return NAMES.reduce(
    (text, name) => text.replaceAll(new RegExp(`(?<=\\s)${name}(?=\\s|$)`, 'g'), uniqueName(name)),
    words,
  );
}

async function type(line: string): Promise<string> {
  const command = filledIn(line);
  const env = {
    ...machine.env,
    ...{ PATH: `${machine.dir}/bin:${process.env.PATH ?? ''}`, CRIU_CUDA_CRIU: criuProgram() },
  };
  const options = { env, cwd: join(machine.dir, 'home') };
  const { exitCode, stdout, stderr } = await execResult('bash', ['-c', command], options);
  expect(exitCode, `${command}\n${stdout}${stderr}`).toBe(0);
  return stdout;
}

/** A block that begins with a checkpoint means a container that an earlier page has made. */
async function prepare({ commands: [first = ''] }: Block): Promise<void> {
  if (!first.startsWith('criu-cuda container checkpoint')) return;
  for (const name of NAMES) await removeContainer(uniqueName(name));
  await type('criu-cuda container create web IMAGE --preset python-server -- python3 server.py');
}

async function typeInTerminal(commands: readonly string[]): Promise<void> {
  const terminal = await Terminal.open();
  try {
    for (const command of commands) await terminal.succeed(command);
    expect(terminal.transcript).not.toBe('');
  } finally {
    await terminal.close();
  }
}

it.each(marked)(
  '$page with podman',
  async ({ blocks }) => {
    for (const block of blocks) {
      if (block.commands.every(isSetup)) {
        await typeInTerminal(block.commands);
        continue;
      }
      await prepare(block);
      for (const command of block.commands) await type(command);
      const last = block.commands.at(-1) ?? '';
      const restored = NAMES.filter((name) => new RegExp(`\\brestore\\b.*\\s${name}(?=\\s|$)`).test(last));
      for (const name of restored) {
        expect((await findContainer(uniqueName(name)))?.isRunning, last).toBe(true);
        await removeContainer(uniqueName(name)); // the next one may have its port
      }
    }
  },
  TIMEOUT_MS,
);
