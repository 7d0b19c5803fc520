// SPDX-License-Identifier: MIT
/** What `cdi generate --format` prints for engines that read no CDI file. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  addToRuncConfig,
  ctrFlags,
  dockerFlags,
  otherEnginesWarning,
  podManifest,
  runcPart,
  shellWords,
  type ContainerEdits,
} from '../../../lib/container/index.ts';
import { interceptorLibrary, softcudaLibrary } from '../../../lib/paths.ts';
import { main } from '../../../lib/program.ts';
import { captureIo } from '../cli/capture.ts';

const edits: ContainerEdits = {
  mounts: [
    { path: '/opt/lib', readOnly: true },
    { path: '/dev/shm/devices', readOnly: false },
  ],
  env: { LD_PRELOAD: '/opt/lib/a.so', CRIU_CUDA_STREAMS: '4' },
};

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-formats-'));
  writeFileSync(join(dir, 'cuda.conf'), '# nothing is set\n');
  vi.stubEnv('CRIU_CUDA_CONFIG', join(dir, 'cuda.conf'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true });
});

async function generate(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const { io, stdout, stderr } = captureIo();
  const code = await main(['cdi', 'generate', ...words], io);
  return { code, out: stdout(), err: stderr() };
}

describe('flags', () => {
  it('of docker mount at the same path, and set the variables', () => {
    expect(shellWords(dockerFlags(edits, ['--ulimit', 'nproc=5:5']))).toBe(
      '--ulimit nproc=5:5 --volume /opt/lib:/opt/lib:ro --volume /dev/shm/devices:/dev/shm/devices ' +
        '--env LD_PRELOAD=/opt/lib/a.so --env CRIU_CUDA_STREAMS=4',
    );
  });

  it('of ctr say rbind, which containerd 1.6 needs', () => {
    expect(shellWords(ctrFlags(edits))).toBe(
      '--mount type=bind,src=/opt/lib,dst=/opt/lib,options=rbind:ro ' +
        '--mount type=bind,src=/dev/shm/devices,dst=/dev/shm/devices,options=rbind:rw ' +
        '--env LD_PRELOAD=/opt/lib/a.so --env CRIU_CUDA_STREAMS=4',
    );
  });

  it('are quoted for a shell where that is needed', () => {
    expect(shellWords(['--env', "A=it's"])).toBe(String.raw`--env 'A=it'\''s'`);
  });
});

describe('config.json', () => {
  const config = {
    ociVersion: '1.0.2',
    process: { terminal: true, env: ['PATH=/bin', 'LD_PRELOAD=/old.so'], args: ['sh'] },
    root: { path: 'rootfs' },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/opt/lib', type: 'bind', source: '/old' },
    ],
  };

  it('gets the part, without a terminal, and keeps everything else; twice is the same', () => {
    const part = runcPart(edits);
    const once = addToRuncConfig(JSON.stringify(config), edits);
    expect(once).toEqual({
      ...config,
      process: { ...config.process, terminal: false, env: ['PATH=/bin', ...part.process.env] },
      mounts: [config.mounts[0], ...part.mounts],
    });
    expect(part.mounts.map(({ options }) => options.at(-1))).toEqual(['ro', 'rw']);
    expect(addToRuncConfig(JSON.stringify(once), edits)).toEqual(once);
  });

  it.each(['{', '{"process":{}}', '[]'])('is not %s', (text) => {
    expect(() => addToRuncConfig(text, edits, '/b/config.json')).toThrow(
      '/b/config.json is not the config.json of a bundle',
    );
  });
});

it('a pod gets host directories and variables', () => {
  const manifest = podManifest(edits);
  expect(manifest).toContain(
    '      volumeMounts:\n        - { name: criu-cuda-0, mountPath: "/opt/lib", readOnly: true }\n',
  );
  expect(manifest).toContain('        - { name: LD_PRELOAD, value: "/opt/lib/a.so" }\n');
  expect(manifest).toMatch(
    /\n {2}volumes:\n {4}- \{ name: criu-cuda-0, hostPath: \{ path: "\/opt\/lib", type: Directory \} \}\n/,
  );
  expect(podManifest({ mounts: [], env: {} })).toMatch(
    /\n {6}env: \[\]\n {6}volumeMounts: \[\]\n {2}volumes: \[\]\n$/,
  );
});

describe('the command', () => {
  it('prints flags that need only the library directory', async () => {
    vi.stubEnv('CRIU_CUDA_DRIVER', '');
    const library = interceptorLibrary();
    const { code, out } = await generate('--format', 'ctr');
    expect(code).toBe(0);
    expect(out.trim()).toBe(
      `--mount type=bind,src=${dirname(library)},dst=${dirname(library)},options=rbind:ro --env LD_PRELOAD=${library}`,
    );
    expect((await generate('--format', 'docker', '--no-intercept')).out).not.toContain('LD_PRELOAD');
  });

  it('prints a config.json of a bundle with the part in it', async () => {
    const file = join(dir, 'config.json');
    writeFileSync(file, '{"ociVersion":"1.0.2","process":{"args":["sh"]}}');
    const { out } = await generate('--format', 'runc', '--config', file);
    expect(JSON.parse(out)).toMatchObject({
      ociVersion: '1.0.2',
      process: { args: ['sh'], terminal: false, env: [`LD_PRELOAD=${interceptorLibrary()}`] },
    });
    expect(await generate('--format', 'runc', '--config', join(dir, 'none'))).toMatchObject({
      code: 2,
      err: expect.stringContaining(`cannot read ${join(dir, 'none')}: no such file or directory`) as string,
    });
  });

  it.each([
    [['--format', 'docker', '--write'], '--write and --output are for --format cdi'],
    [['--format', 'pod', '--output', 'x'], '--write and --output are for --format cdi'],
    [['--config', 'x'], '--config is for --format runc'],
  ])('refuses %j', async (words, message) => {
    expect(await generate(...words)).toMatchObject({
      code: 2,
      err: expect.stringContaining(message) as string,
    });
  });

  it("warns that criu of other engines does not get the software driver's directory", async () => {
    vi.stubEnv('CRIU_CUDA_DRIVER', softcudaLibrary());
    vi.stubEnv('SOFTCUDA_DIR', join(dir, 'devices'));
    const { code, out, err } = await generate('--format', 'docker');
    expect(code).toBe(0);
    expect(out).toContain(`--env SOFTCUDA_DIR=${join(dir, 'devices')}`);
    expect(err).toContain('warning: SOFTCUDA_DIR is for programs in containers');
    expect(
      otherEnginesWarning({ CRIU_CUDA_CONFIG: join(dir, 'cuda.conf'), SOFTCUDA_DIR: '/d' }),
    ).toBeUndefined();
  });
});
