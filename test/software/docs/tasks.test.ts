// SPDX-License-Identifier: MIT
/** Ten things that people want to do, with the README's own lines and nothing else: at most three commands each. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findContainer, removeContainer } from '../../../lib/container/index.ts';
import { execResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { writeLauncher } from '../../../lib/setup/index.ts';
import { freePort, prepareContainers } from '../../helpers/container.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { shellBlocks, type Block } from '../../helpers/shell-blocks.ts';
import { Reader } from './reader.ts';
import { Terminal } from './terminal.ts';

const TIMEOUT_MS = 600_000; // a bundle is packed on a busy machine
const blocks = shellBlocks('README.md');
/** Packs at the lowest level, which takes a tenth of the time: a line for the terminal, whose /usr/local is its own. */
const quickXz = String.raw`printf '#!/bin/sh\nexec %s "$@" -0\n' "$(command -v xz)" >/usr/local/bin/xz && chmod +x /usr/local/bin/xz`;

/** The commands below a heading. */
function task(heading: string): Block {
  const found = blocks.find((block) => block.heading === heading && block.mark !== 'elsewhere');
  if (!found) throw new Error(`README.md has no commands below ${heading}`);
  return found;
}

let terminal: Terminal;
let reader: Reader;

async function open(): Promise<void> {
  terminal = await Terminal.open();
  reader = new Reader(terminal);
}

describe('README.md', () => {
  it('has ten tasks of at most three commands', () => {
    const text = readFileSync(join(projectRoot, 'README.md'), 'utf8');
    const [, tasks = ''] = /^## Ten tasks\n(.*?)^## /ms.exec(text) ?? [];
    const headings = [...tasks.matchAll(/^### (.*)$/gm)].map(([, heading = '']) => heading);
    expect(headings).toHaveLength(10);
    for (const { commands, heading } of blocks)
      expect([heading, commands.length <= 3]).toEqual([heading, true]);
  });
});

describe('a reader of README.md', () => {
  beforeEach(open);
  afterEach(() => terminal.close());

  it(
    'has their own server back with the numbers it had on the GPU',
    async () => {
      const [run = '', checkpoint = '', restore = ''] = task('criu-cuda-toolkit').commands;
      await reader.type(run);
      expect(await reader.answer()).toContain('2 requests, their sum is 3');
      await reader.type(checkpoint);
      expect(await terminal.type('curl --silent http://127.0.0.1:8000')).toMatchObject({ code: 7 });
      await reader.start(restore);
      expect(await reader.answerMeanwhile()).toContain('3 requests, their sum is 6');
      await terminal.interrupt();
      expect(await terminal.type('curl --silent http://127.0.0.1:8000')).toMatchObject({ code: 7 });
    },
    TIMEOUT_MS,
  );

  it(
    'has vLLM back, which is a server of three lines as well',
    async () => {
      // the server of the examples answers any path, as vLLM does its /health
      const program = '#!/bin/sh\nexec python3 server.py\n';
      writeFileSync(join(terminal.dir, 'home', 'vllm'), program, { mode: 0o755 });
      await terminal.succeed('PATH=$PWD:$PATH');
      const [run = '', checkpoint = '', restore = ''] = task('Dump a server and restore it').commands;
      await terminal.succeed(run);
      expect(await reader.type(checkpoint)).toContain('1 requests, their sum is 1');
      await reader.start(restore);
      expect(await reader.answerMeanwhile()).toContain('2 requests, their sum is 3');
      await terminal.interrupt();
    },
    TIMEOUT_MS,
  );

  it(
    'learns whether the machine is fit, and what may be dumped',
    async () => {
      expect(await reader.read(task('Is this machine fit?'))).toMatch(/^ok +CRIU +4/m);
      expect(await reader.read(task('Can my program be dumped?'))).toMatch(/^\d+ can be dumped/m);
    },
    TIMEOUT_MS,
  );

  it(
    'sees what uses the GPU',
    async () => {
      const pid = await reader.startServer();
      const printed = await reader.read(task('Which processes use the GPU?'));
      expect(printed).toMatch(/^\d+ +running +64 MiB on GPU-/m);
      expect(printed).toContain('softcuda software device 0');
      expect(pid).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );

  it(
    'keeps a standby',
    async () => {
      await reader.startServer();
      const before = await reader.answer();
      const { commands } = task('Keep a standby');
      const [checkpoint = '', restore = '', wake = ''] = commands;
      await reader.type(checkpoint);
      expect(await reader.type(restore)).toContain('it is stopped');
      expect((await terminal.type('curl --silent --max-time 1 http://127.0.0.1:8000')).code).toBe(28);
      await reader.type(wake);
      expect(before).toContain('2 requests, their sum is 3');
      // the request that nobody waited for is the third
      expect(await reader.answer()).toMatch(/[34] requests/);
    },
    TIMEOUT_MS,
  );

  it(
    'loads an image before it is needed',
    async () => {
      await reader.startServer();
      await reader.type('criu-cuda checkpoint 4711 DIR');
      const { commands } = task('Load an image before it is needed');
      const [start = '', prefetch = '', restore = ''] = commands;
      await reader.type(start);
      expect(await reader.type(prefetch)).toContain('1 resident');
      await reader.start(restore);
      expect(await reader.answerMeanwhile()).toContain('2 requests, their sum is 3');
      await terminal.interrupt();
    },
    TIMEOUT_MS,
  );

  it(
    'measures',
    async () => {
      const printed = await reader.read(task('Where is it slow?'));
      expect(printed).toContain('SOFTWARE DRIVER: these times mean nothing');
      const results = join(terminal.dir, 'home', 'results');
      expect(readdirSync(results)).toEqual(
        expect.arrayContaining(['first.json', 'report.html', 'report.md']),
      );
    },
    TIMEOUT_MS,
  );

  it(
    'takes it to another machine',
    async () => {
      await terminal.succeed('unset CRIU_CUDA_CRIU'); // the bundle has its own
      await terminal.succeed(quickXz);
      const printed = await reader.read(task('Another machine'));
      expect(printed).toMatch(/^ok +CRIU +.*\/home\/criu-cuda-/m);
    },
    TIMEOUT_MS,
  );

  it(
    'undoes everything',
    async (context) => {
      const { reason } = await prepareContainers();
      if (reason !== undefined) context.skip(reason);
      await terminal.overlay('/usr/lib');
      const written = ['/usr/lib/criu/cuda_plugin.so', '/etc/criu/runc.conf', '/usr/local/bin/criu-cuda'];
      const exist = async (): Promise<string[]> => {
        const { output } = await terminal.type(`ls -d ${written.join(' ')} 2>/dev/null`);
        return written.filter((path) => output.includes(path));
      };
      await terminal.succeed('criu-cuda install --libdir /usr/lib/criu --variant parallel');
      await terminal.succeed('criu-cuda container setup --variant parallel');
      expect(await exist()).toEqual(written);
      await reader.read(task('Undo everything'));
      expect(await exist()).toEqual([]);
    },
    TIMEOUT_MS,
  );
});

it(
  'a reader of README.md has a golden checkpoint of a server in a container',
  async (context) => {
    const { image, reason } = await prepareContainers();
    if (image === undefined) return context.skip(reason);
    const machine = new Machine();
    const name = `criu-cuda-readme-${process.pid}`;
    const port = await freePort();
    for (const [key, value] of Object.entries(machine.env)) vi.stubEnv(key, value);
    const PATH = `${machine.dir}/bin:${process.env.PATH ?? ''}`;
    writeLauncher(join(machine.dir, 'bin'));
    /** Types a line with an image and a server of this machine in place of the reader's. */
    const type = async (line: string): Promise<string> => {
      const command = line
        .replace('--preset vllm', '--preset python-server')
        .replace('vllm serve MODEL', `/bin/workload-pattern --alloc 8Mx3 --http ${port}`)
        .replace('IMAGE', image)
        .replace(':8000', `:${port}`)
        .replaceAll(/\bllm\b/g, name);
      const env = { PATH, CRIU_CUDA_CRIU: criuProgram() };
      const { exitCode, stdout, stderr } = await execResult('bash', ['-c', command], { env });
      expect(exitCode, `${command}\n${stdout}${stderr}`).toBe(0);
      return stdout;
    };
    try {
      const [create = '', restore = '', remove = ''] = task('A server in a container').commands;
      await type(create);
      expect((await findContainer(name))?.isRunning).toBe(false);
      await type(restore);
      expect((await findContainer(name))?.isRunning).toBe(true);
      await type(remove);
      expect(await findContainer(name)).toBeUndefined();
    } finally {
      await removeContainer(name);
      vi.unstubAllEnvs();
      expect(existsSync(machine.dir)).toBe(true);
      await machine.close();
    }
  },
  TIMEOUT_MS,
);
