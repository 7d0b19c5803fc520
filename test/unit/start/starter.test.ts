// SPDX-License-Identifier: MIT
// criu-cuda-start becomes node with the program. Where a helper would most likely be of use, it starts one before.
import { spawn } from 'node:child_process';
import { createServer, type Server } from 'node:net';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { builtProgram, interceptorLibrary } from '../../../lib/paths.ts';
import { waitUntil } from '../../helpers/wait.ts';

let dir: string;
let images: string;
let env: Record<string, string | undefined>;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-starter-'));
  chmodSync(dir, 0o755);
  images = join(dir, 'images');
  mkdirSync(images);
  for (const name of ['inventory.img', 'cuda-7.img']) writeFileSync(join(images, name), '');
  writeFileSync(join(dir, 'program'), 'echo "${CRIU_CUDA_STARTED_HELPER:+started} $0 $*"; exit 3\n');
  env = {
    CRIU_CUDA_CONFIG: join(dir, 'cuda.conf'),
    CRIU_CUDA_DRIVER: '/nowhere/libcuda.so.1',
    CRIU_CUDA_RUN_DIR: join(dir, 'run'),
    CRIU_LIBS_DIR: undefined,
  };
  writeFileSync(join(dir, 'cuda.conf'), '');
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

/** Types words; the node is a shell, and the program prints what it gets. */
async function type(words: readonly string[], under: readonly string[] = []): Promise<string> {
  const all = [builtProgram('criu-cuda-start'), '/bin/sh', join(dir, 'program'), ...words];
  const { exitCode, stdout } = await execResult('env', [...under, ...all], { env, cwd: dir });
  expect(exitCode).toBe(3);
  return stdout;
}

const plain = (...words: string[]): string => ` ${join(dir, 'program')} ${words.join(' ')}`;
const begun = (...words: string[]): string => `started${plain(...words)}`;

const isRoot = process.geteuid?.() === 0;

describe.skipIf(!isRoot)('as root', () => {
  it.each([['images'], ['./images/'], ['images', '--detach', '--json', '--trace', 'x']])(
    'starts the helper for restore %s',
    async (...words) => {
      expect(await type(['restore', ...words])).toBe(begun('restore', ...words));
    },
  );

  it.each([
    [interceptorLibrary(), 'started '],
    ['', ' '],
  ])('for the checkpoint of a program with LD_PRELOAD=%s, it says "%s"', async (preload, says) => {
    const program = spawn('/bin/sh', ['-c', 'read -r _'], {
      env: { LD_PRELOAD: preload },
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    // its environment is there a moment after its start
    await waitUntil(() => readFileSync(`/proc/${program.pid ?? 0}/environ`).length > 0);
    const words = ['checkpoint', String(program.pid), 'images'];
    expect(await type(words)).toBe(`${says.trim()}${plain(...words)}`);
    program.kill('SIGKILL');
  });

  it.each<[string, () => void]>([
    [
      'a directory without a finished dump',
      () => {
        rmSync(join(images, 'inventory.img'));
      },
    ],
    [
      'images without device memory',
      () => {
        rmSync(join(images, 'cuda-7.img'));
      },
    ],
    [
      'no directory',
      () => {
        rmSync(images, { recursive: true });
      },
    ],
    [
      'settings that are wrong',
      () => {
        env.CRIU_CUDA_STREAMS = 'many';
      },
    ],
    [
      'a plugin of its own',
      () => {
        env.CRIU_LIBS_DIR = dir;
      },
    ],
  ])('starts nothing for %s', async (_, prepare) => {
    prepare();
    expect(await type(['restore', 'images'])).toBe(plain('restore', 'images'));
  });

  it('starts nothing where it does not know which driver is used', async () => {
    env.CRIU_CUDA_DRIVER = undefined;
    const hasGpu = ['/dev/nvidiactl', '/proc/driver/nvidia/version', '/dev/dxg'].some(existsSync);
    expect(await type(['restore', 'images'])).toBe((hasGpu ? begun : plain)('restore', 'images'));
  });

  it('starts nothing beside a daemon, unless it is not used', async () => {
    mkdirSync(join(dir, 'run'));
    const server: Server = createServer().listen(join(dir, 'run', 'pool.sock'));
    expect(await type(['restore', 'images'])).toBe(plain('restore', 'images'));
    env.CRIU_CUDA_CONTEXT_POOL = '0';
    expect(await type(['restore', 'images'])).toBe(begun('restore', 'images'));
    server.close();
  });

  it('starts nothing for another user, nor with a closed standard descriptor', async () => {
    const other = ['setpriv', '--reuid=65534', '--clear-groups'];
    expect(await type(['restore', 'images'], other)).toBe(plain('restore', 'images'));
    const closed = ['/bin/sh', '-c', 'exec "$@" 0<&-', 'sh'];
    expect(await type(['restore', 'images'], closed)).toBe(plain('restore', 'images'));
  });
});

it('passes on all words, the variables and the exit code', async () => {
  env.CRIU_CUDA_STARTED_HELPER = '1:5:2'; // of nobody
  const words = ['run', '--', 'two words', '$HOME', ''];
  expect(await type(words)).toBe(plain(...words));
});

it('says that node is missing', async () => {
  const words = ['/nowhere/node', 'program', 'restore'];
  const { exitCode, stderr } = await execResult(builtProgram('criu-cuda-start'), words);
  expect([exitCode, stderr]).toEqual([127, 'criu-cuda: cannot run /nowhere/node: No such file or directory']);
});
