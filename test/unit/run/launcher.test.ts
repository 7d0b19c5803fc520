// SPDX-License-Identifier: MIT
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { softwareDriverVariables, withDriverOf } from '../../../lib/gpu/index.ts';
import { softcudaLibrary } from '../../../lib/paths.ts';
import { readMappedFiles } from '../../../lib/process/index.ts';
import { launch } from '../../../lib/run/index.ts';

/** The variables that the launcher sets. */
function variables(options: Parameters<typeof launch>[0]): string[] {
  const { args } = launch(options);
  return args.filter((_, index) => args[index - 1] === '--env');
}

describe('the command line of the launcher', () => {
  it('has what was asked for, and the program after it', () => {
    const { path, args } = launch({
      ...{ command: 'serve', args: ['--json', '--', 'x'], env: { A: '1', B: undefined } },
      ...{
        log: 'out.log',
        detach: true,
        allowIoUring: true,
        quiet: true,
        json: true,
        interceptor: '/lib/i.so',
      },
    });
    expect(path).toMatch(/\/bin\/criu-cuda-run$/);
    expect(args.slice(0, 2)).toEqual(['--reset', String(process.ppid)]);
    for (const flag of ['--detach', '--allow-io-uring', '--quiet', '--json']) expect(args).toContain(flag);
    expect(args).toContain('A=1');
    expect(args.filter((word) => word.startsWith('B='))).toEqual([]);
    expect(args.find((word) => word.startsWith('LD_PRELOAD='))).toMatch(/^LD_PRELOAD=\/lib\/i\.so/);
    expect(args.slice(args.indexOf('--'))).toEqual(['--', 'serve', '--json', '--', 'x']);
  });

  it.each([
    [undefined, ['GODEBUG=multipathtcp=0']],
    ['', ['GODEBUG=multipathtcp=0']],
    ['gctrace=1', ['GODEBUG=gctrace=1,multipathtcp=0']],
    ['multipathtcp=1,gctrace=1', []],
  ])('adds to GODEBUG=%s', (set, expected) => {
    vi.stubEnv('GODEBUG', set);
    try {
      expect(variables({ command: 'x' })).toEqual(expected);
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe('the software driver', () => {
  const library = softcudaLibrary();
  const config = { CRIU_CUDA_CONFIG: '/dev/null', PREBUILDS_ONLY: process.env.PREBUILDS_ONLY };
  const noGpu = (): boolean => false;

  it('is found by programs where there is no GPU', async () => {
    expect(await softwareDriverVariables(config, noGpu)).toEqual({
      CRIU_CUDA_DRIVER: library,
      LD_LIBRARY_PATH: dirname(library),
    });
    const set = { ...config, LD_LIBRARY_PATH: '/opt/lib:/usr/x' };
    expect(await softwareDriverVariables(set, noGpu)).toMatchObject({
      LD_LIBRARY_PATH: `${dirname(library)}:/opt/lib:/usr/x`,
    });
  });

  it('is left out where there is a GPU or another driver is named, and not where it is named itself', async () => {
    expect(await softwareDriverVariables(config, (path) => path === '/dev/nvidiactl')).toBeUndefined();
    const other = { ...config, CRIU_CUDA_DRIVER: '/usr/lib/libcuda.so.1' };
    expect(await softwareDriverVariables(other, noGpu)).toBeUndefined();
    const named = { ...config, CRIU_CUDA_DRIVER: library };
    expect(await softwareDriverVariables(named, () => true)).toMatchObject({ CRIU_CUDA_DRIVER: library });
    const unbuilt = { ...config, CRIU_CUDA_BUILD_DIR: '/nowhere' };
    expect(await softwareDriverVariables(unbuilt, noGpu)).toBeUndefined();
  });

  it('is that of a dump or restore of programs that have it, unless one is named', async (context) => {
    if (existsSync('/dev/nvidiactl')) context.skip('this machine has an NVIDIA driver');
    const unset = { ...config, CRIU_CUDA_DRIVER: '' };
    const files = (): string[] => ['/usr/lib/libc.so.6', library];
    expect(await withDriverOf(unset, files)).toEqual({ ...unset, CRIU_CUDA_DRIVER: library });
    const gone = (): string[] => ['/nowhere/softcuda/libcuda.so.1'];
    for (const others of [gone, () => []]) expect(await withDriverOf(unset, others)).toEqual(unset);
    const named = { ...config, CRIU_CUDA_DRIVER: '/usr/lib/libcuda.so.1' };
    expect(await withDriverOf(named, files)).toEqual(named);
  });

  it('of another place counts only where no other user can put one', async (context) => {
    if (existsSync('/dev/nvidiactl')) context.skip('this machine has an NVIDIA driver');
    const unset = { ...config, CRIU_CUDA_DRIVER: '' };
    const dir = realpathSync(mkdtempSync(join(tmpdir(), 'ccr-driver-')));
    const path = join(dir, 'softcuda', 'libcuda.so.1');
    try {
      mkdirSync(dirname(path));
      writeFileSync(path, 'a library');
      expect(await withDriverOf(unset, () => [path])).toEqual({ ...unset, CRIU_CUDA_DRIVER: path });
      chmodSync(dirname(path), 0o777);
      expect(await withDriverOf(unset, () => [path])).toEqual(unset);
      chmodSync(dirname(path), 0o755);
      chownSync(path, 65534, 65534);
      expect(await withDriverOf(unset, () => [path])).toEqual(unset);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('is looked for among the mapped files of processes, some of which have ended', () => {
    const files = readMappedFiles([process.pid, process.pid, 2 ** 22 + 1]);
    expect(files.filter((path) => path === realpathSync(process.execPath))).toHaveLength(1);
    expect(files.every((path) => path.startsWith('/'))).toBe(true);
  });
});
