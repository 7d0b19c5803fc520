// SPDX-License-Identifier: MIT
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  cdiSpec,
  configuredLibdir,
  checkpointContainer,
  containerPluginDir,
  createArguments,
  createContainer,
  editFlags,
  gpuFlags,
  limitFlags,
  listPresets,
  writeCdi,
} from '../../../lib/container/index.ts';
import { sudoCommand } from '../../../lib/machine/index.ts';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { variantDir } from '../../../lib/variant.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-container-'));
  vi.stubEnv('CRIU_CUDA_RUN_DIR', join(dir, 'run'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true });
});

describe('a user who is not root', () => {
  beforeEach(() => {
    const podman = join(dir, 'podman');
    writeFileSync(podman, '#!/bin/sh\necho "no such container" >&2\nexit 125\n');
    chmodSync(podman, 0o755);
    vi.stubEnv('PATH', `${dir}:/usr/bin:/bin`);
    vi.spyOn(process, 'geteuid').mockReturnValue(1000);
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('is told so before a container is made that could not be checkpointed', async () => {
    const made = createContainer({ name: 'web', image: 'localhost/web', command: ['serve'], gpu: 'none' });
    await expect(made).rejects.toMatchObject({
      message: "container web needs root: podman checkpoints only root's containers",
      missing: [{ what: 'root', remedy: `run it as root: ${sudoCommand()}` }],
    });
  });

  it('does not see the containers of root, and is told so', async () => {
    await expect(checkpointContainer({ name: 'web' })).rejects.toMatchObject({
      message: 'there is no container web',
      hint: `this user does not see the containers of root: ${sudoCommand()}`,
    });
  });
});

const pairs = (words: readonly string[], flag: string): string[] =>
  words.flatMap((word, index) => (word === flag ? [words[index + 1] ?? ''] : []));

describe('createArguments', () => {
  const options = { name: 'one', image: 'an/image', gpu: 'none' } as const;

  it('mounts the interceptor at its own path, read-only, and nothing else, and preloads it', () => {
    const words = createArguments({ ...options, variant: 'parallel' });
    const library = interceptorLibrary();
    expect(pairs(words, '--volume')).toEqual([`${join(library, '..')}:${join(library, '..')}:ro`]);
    expect(pairs(words, '--env')).toContain(`LD_PRELOAD=${library}`);
    expect(pairs(words, '--label')).toContain(`criu-cuda.libdir=${variantDir('parallel')}`);
  });

  it('preloads nothing for stock', () => {
    const words = createArguments({ ...options, variant: 'stock' });
    expect(words.join(' ')).not.toContain('LD_PRELOAD');
  });

  it("puts the caller's arguments last, so that they take precedence", () => {
    const words = createArguments({
      ...options,
      variant: 'stock',
      preset: 'vllm',
      podmanArgs: ['--env=HF_HOME=/models'],
      command: ['vllm-server', '--max-model-len', '4096'],
    });
    const image = words.indexOf('an/image');
    expect(words[image - 1]).toBe('--env=HF_HOME=/models');
    expect(words[image + 1]).toBe('vllm-server');
    expect(pairs(words.slice(image), '--max-model-len')).toEqual(['1024', '4096']);
    expect(pairs(words, '--network')).toEqual(['host']);
    expect(pairs(words, '--env')).toContain('VLLM_NO_USAGE_STATS=1');
  });

  it('refuses a name that podman would read as an option, and unknown presets', () => {
    expect(() => createArguments({ ...options, name: '--rm' })).toThrow('name is "--rm", not a name');
    expect(() => createArguments({ ...options, preset: 'fast' })).toThrow('there is no preset "fast"');
  });
});

describe('limitFlags', () => {
  const limits = 'Max processes    96365    unlimited    processes\nMax open files   1024    20000   files\n';

  it('asks for no more than the limits of this process', () => {
    expect(limitFlags('CapEff:\t000001fffeffffff\n', limits, 32768)).toEqual([
      ...['--ulimit', 'nproc=32768:32768'],
      ...['--ulimit', 'nofile=1024:20000'],
    ]);
  });

  it('leaves limits to podman if this process can raise them', () => {
    expect(limitFlags('CapEff:\t000001ffffffffff\n', limits, 32768)).toEqual([]);
  });
});

describe('gpuFlags', () => {
  it("passes every device node, and the driver's libraries by name", () => {
    const dev = join(dir, 'dev');
    mkdirSync(dev);
    for (const name of ['nvidia0', 'nvidiactl', 'nvidia-uvm', 'nvidia-caps', 'null'])
      writeFileSync(join(dev, name), '');
    writeFileSync(join(dir, 'libcuda.so.580.1'), '');
    symlinkSync('libcuda.so.580.1', join(dir, 'libcuda.so.1'));
    const words = gpuFlags('devices', dev, [dir]);
    expect(pairs(words, '--device').sort()).toEqual(
      ['nvidia-uvm', 'nvidia0', 'nvidiactl'].map((name) => join(dev, name)),
    );
    expect(pairs(words, '--volume')).toEqual([
      `${join(dir, 'libcuda.so.580.1')}:${join(dir, 'libcuda.so.1')}:ro`,
    ]);
    expect(() => gpuFlags('devices', dir, [dir])).toThrow('there is no GPU for the container');
    expect(gpuFlags('cdi')).toEqual(['--device', 'nvidia.com/gpu=all']);
  });
});

describe('containerPluginDir', () => {
  it("refuses if criu's own configuration file would override an option", () => {
    const path = join(dir, 'runc.conf');
    writeFileSync(path, '# ours\nlibdir /usr/lib/criu\nghost-limit 1M\n');
    expect(configuredLibdir(path)).toBe('/usr/lib/criu');
    expect(configuredLibdir(join(dir, 'none'))).toBeUndefined();
    const configured = variantDir('parallel');
    expect(containerPluginDir({}, configured)).toBe(configured);
    expect(containerPluginDir({ variant: 'parallel' }, configured)).toBe(configured);
    expect(() => containerPluginDir({ variant: 'stock' }, configured)).toThrow(`has libdir ${configured}`);
  });
});

describe('a CDI file', () => {
  const edits = {
    mounts: [
      { path: '/run/criu-cuda', readOnly: false },
      { path: '/lib/ours', readOnly: true },
    ],
    env: { LD_PRELOAD: '/lib/ours/libcuda_intercept.so' },
  };

  it('has the same contents as the flags', () => {
    expect(editFlags(edits)).toEqual([
      ...['--volume', '/run/criu-cuda:/run/criu-cuda', '--volume', '/lib/ours:/lib/ours:ro'],
      ...['--env', 'LD_PRELOAD=/lib/ours/libcuda_intercept.so'],
    ]);
    const [device] = cdiSpec(edits).devices;
    expect(device?.containerEdits.env).toEqual(['LD_PRELOAD=/lib/ours/libcuda_intercept.so']);
    expect(device?.containerEdits.mounts.map(({ hostPath, options }) => [hostPath, options.at(-1)])).toEqual([
      ['/run/criu-cuda', 'rw'],
      ['/lib/ours', 'ro'],
    ]);
  });

  it('replaces its own file but no other', () => {
    const path = join(dir, 'cdi', 'one.json');
    writeCdi(path, cdiSpec(edits));
    writeCdi(path, cdiSpec({ ...edits, env: {} }));
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(cdiSpec({ ...edits, env: {} }));
    writeFileSync(path, '{"kind":"nvidia.com/gpu"}');
    expect(() => {
      writeCdi(path, cdiSpec(edits));
    }).toThrow(`${path} was not written by criu-cuda`);
  });
});

describe('presets', () => {
  it('describe every part', () => {
    for (const { name, parts } of listPresets()) {
      for (const part of parts) {
        expect(part.saves, name).not.toBe('');
        expect(part.costs, name).not.toBe('');
        expect(part.podman ?? part.env ?? part.args, name).toBeDefined();
      }
    }
  });
});
