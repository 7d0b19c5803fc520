// SPDX-License-Identifier: MIT
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  linkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it, type TestContext } from 'vitest';
import { settleWords } from '../../../lib/command-line/index.ts';
import { defineImage } from '../../../lib/commands/image.ts';
import { EnvironmentError } from '../../../lib/errors.ts';
import { checkCheckpoint, GpuImageError, verifyGpuImages } from '../../../lib/images/index.ts';
import { IndexSchema } from '../../../lib/images/gen/index_pb.ts';
import { ManifestSchema } from '../../../lib/images/gen/image_pb.ts';
import { createIo } from '../../../lib/output.ts';
import { builtProgram, projectRoot } from '../../../lib/paths.ts';
import { changeManifest, writeManifest } from '../../helpers/gpu-image.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-images-'));
  cpSync(join(projectRoot, 'test/fixtures/gpu-image'), dir, { recursive: true });
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

const file = (name: string): string => join(dir, name);

async function run(args: readonly string[], json = false): Promise<{ out: string; exitCode: number }> {
  let out = '';
  const stdout = { write: (text: string) => (out += text) };
  const stderr = { write: () => undefined };
  const io = createIo({ stdout, stderr, json, signal: new AbortController().signal, color: false });
  const program = new Command().exitOverride();
  defineImage(program.command('image'), io);
  program.hook('preAction', (_program, command) => {
    settleWords(command, ['image', ...args]);
  });
  await program.parseAsync(['image', ...args], { from: 'user' });
  return { out, exitCode: io.exitCode };
}

function needsProgram(context: TestContext): void {
  const program = builtProgram('ccr-image');
  if (!existsSync(program)) context.skip(`${program} is not built`);
}

describe('image show', () => {
  it('prints a summary for people', async () => {
    const { out } = await run(['show', dir]);
    expect(out).toContain('cuda-4242.img  pid 4242, id ');
    expect(out).toContain('CUDA driver API 13.0');
    expect(out).toContain('6 allocations, 32.6 KiB: 28 KiB stored, 12 KiB zero');
    expect(out).toContain('device 0: GPU-30313233-3435-3637-3839-616263646500 test device');
    expect(out).toContain('cuda-4242-1.img  16 KiB');
    expect(out).not.toContain('0x7f0010000000');
  });

  it('lists allocations and chunks when asked to', async () => {
    const { out } = await run(['show', dir, '--allocations', '--chunks']);
    expect(out).toMatch(/^101 +0x7f0010000000 +5000 +5000 +0 +cuMemCreate$/m);
    expect(out).toMatch(/^1 +4096 +904 +\d+:\d+ +[0-9a-f]{16}$/m);
    expect(out).toMatch(/^0 +0 +4096 +zero$/m);
  });

  it('says what other directories have as well', async () => {
    expect((await run(['show', dir])).out).not.toContain('other directories');
    linkSync(file('cuda-4242-1.img'), file('elsewhere'));
    const { out } = await run(['show', dir]);
    expect(out).toContain('  16 KiB in files that other directories have as well');
    const { images } = JSON.parse((await run(['show', dir], true)).out) as { images: object[] };
    expect(images[0]).toMatchObject({ sharedBytes: 16384, unusedBytes: 0 });
  });

  it('prints one JSON document', async () => {
    const { out } = await run(['show', dir, '--allocations'], true);
    const { images } = JSON.parse(out) as { images: Record<string, unknown>[] };
    expect(images).toHaveLength(1);
    expect(images[0]).toMatchObject({
      pid: 4242,
      protocol: 3,
      refusal: null,
      bytes: 33385,
      nrChunks: 10,
      nrZeroChunks: 3,
      zeroBytes: 12288,
    });
    expect(images[0]?.allocations).toHaveLength(6);
    expect(images[0]).not.toHaveProperty('chunks');
  });

  const damages: [string, () => void, string][] = [
    [
      'a missing stripe',
      () => {
        rmSync(file('cuda-4242-1.img'));
      },
      'cuda-4242-1.img: missing',
    ],
    [
      'a short stripe',
      () => {
        truncateSync(file('cuda-4242-0.img'), 8192);
      },
      'cuda-4242-0.img: length is 8192',
    ],
    [
      'a long stripe',
      () => {
        truncateSync(file('cuda-4242-0.img'), 20480);
      },
      'cuda-4242-0.img: length is 20480',
    ],
    [
      'another pid',
      () => {
        renameSync(file('cuda-4242.img'), file('cuda-7.img'));
      },
      'cuda-7.img: pid is 4242',
    ],
    [
      'a short manifest',
      () => {
        truncateSync(file('cuda-4242.img'), 100);
      },
      'cuda-4242.img: length',
    ],
    [
      'a stripe that is a symbolic link',
      () => {
        renameSync(file('cuda-4242-0.img'), file('aside'));
        symlinkSync('aside', file('cuda-4242-0.img'));
      },
      'cuda-4242-0.img: not a regular file',
    ],
  ];
  it.each(damages)('refuses %s by name', async (_what, damage, message) => {
    damage();
    const failure = run(['show', dir]);
    await expect(failure).rejects.toThrow(GpuImageError);
    await expect(failure).rejects.toThrow(message);
  });

  it('says if there is no image or no directory', async () => {
    rmSync(file('cuda-4242.img'));
    await expect(run(['show', dir])).rejects.toThrow('no GPU image');
    await expect(run(['show', file('nothing')])).rejects.toThrow(EnvironmentError);
  });
});

describe('a directory with an index', () => {
  const one = Buffer.from('0123456789abcdef0123456789abcdef', 'hex');

  function writeIndex(...members: { pid: number; gpu?: boolean; host?: boolean }[]): void {
    const all = members.map((member) => ({ gpu: false, host: false, ...member }));
    const index = { id: one, tool: '0.3.0', members: all };
    writeManifest(file('cuda.img'), 'CCRINDEX', IndexSchema, index);
  }
  function setCheckpoint(id: Uint8Array): void {
    changeManifest(file('cuda-4242.img'), ManifestSchema, (manifest) => (manifest.checkpoint = id));
  }

  it('is shown with the id of the checkpoint', async () => {
    writeIndex({ pid: 4242, gpu: true });
    setCheckpoint(one);
    const { out, exitCode } = await run(['show', dir], true);
    const id = one.toString('hex');
    const images = [{ pid: 4242, checkpoint: id, refusal: null, stray: false }];
    expect(JSON.parse(out)).toMatchObject({ checkpoint: id, missing: [], images });
    expect(exitCode).toBe(0);
  });

  it('says which image another dump left, which is no error', async () => {
    writeIndex();
    const { out, exitCode } = await run(['show', dir]);
    expect(out).toContain('  ignored: another dump to this directory left it\n');
    expect(exitCode).toBe(0);
  });

  it('refuses an image of another checkpoint', async () => {
    writeIndex({ pid: 4242, gpu: true });
    const { out, exitCode } = await run(['show', dir]);
    expect(out).toContain('  cannot be restored: cuda-4242.img: belongs to another checkpoint than cuda.img');
    expect(exitCode).toBe(1);
  });

  it.each(['show', 'verify'])('names what is missing (%s)', async (command) => {
    writeIndex({ pid: 7, gpu: true, host: true }, { pid: 4242, gpu: true });
    setCheckpoint(one);
    const { out, exitCode } = await run([command, dir]);
    expect(out).toContain('cuda-7.img: missing; cuda.img lists it');
    expect(exitCode).toBe(1);
  });

  it('refuses an image of a checkpoint whose index is missing', async () => {
    setCheckpoint(one);
    const { out, exitCode } = await run(['show', dir]);
    expect(out).toContain('cuda.img: missing, and cuda-4242.img belongs to a checkpoint');
    expect(exitCode).toBe(1);
  });

  it('is shown with the device files that a restore opens again', async () => {
    const dirOfNvml = mkdtempSync(join(dir, 'nvml-'));
    const deviceFiles = [
      { id: 7, path: '/dev/nvidiactl', flags: 2, position: 0n, gpu: Buffer.alloc(0) },
      { id: 8, path: '/dev/nvidia3', flags: 2, position: 0n, gpu: Buffer.alloc(16, 0x1f) },
    ];
    writeManifest(join(dirOfNvml, 'cuda.img'), 'CCRINDEX', IndexSchema, { id: one, deviceFiles });
    const uuid = 'GPU-1f1f1f1f-1f1f-1f1f-1f1f-1f1f1f1f1f1f';
    const text = await run(['show', dirOfNvml]);
    expect(text).toEqual({
      out: `open device file /dev/nvidiactl\nopen device file /dev/nvidia3 of ${uuid}\n`,
      exitCode: 0,
    });
    const { out } = await run(['show', dirOfNvml], true);
    expect(JSON.parse(out)).toMatchObject({
      images: [],
      deviceFiles: [
        { id: 7, path: '/dev/nvidiactl', flags: 2, gpu: null },
        { id: 8, path: '/dev/nvidia3', flags: 2, gpu: uuid },
      ],
    });
  });

  it('names a damaged index', async () => {
    writeIndex({ pid: 4242, gpu: true });
    truncateSync(file('cuda.img'), 30);
    await expect(run(['show', dir])).rejects.toThrow('cuda.img: length');
  });
});

describe('checkCheckpoint', () => {
  it('accepts a directory without files of ours', async () => {
    await checkCheckpoint(join(projectRoot, 'test/unit/images'));
  });

  it('refuses a GPU image of protocol 2, and one whose index is missing', async () => {
    const old = join(projectRoot, 'test/fixtures/gpu-image-protocol-2');
    await expect(checkCheckpoint(old)).rejects.toThrow('protocol is 2');
    changeManifest(file('cuda-4242.img'), ManifestSchema, (m) => (m.checkpoint = Buffer.alloc(16, 7)));
    await expect(checkCheckpoint(dir)).rejects.toThrow('cuda.img: missing, and cuda-4242.img belongs');
  });

  it('names a listed file that is missing', async () => {
    const index = { id: Buffer.alloc(16, 7), members: [{ pid: 7, gpu: false, host: true }] };
    writeManifest(file('cuda.img'), 'CCRINDEX', IndexSchema, index);
    const failure = checkCheckpoint(dir);
    await expect(failure).rejects.toThrow(GpuImageError);
    await expect(failure).rejects.toThrow('cuda-host-7.img: missing; cuda.img lists it');
  });

  it('ignores what another dump left, also if it is damaged', async () => {
    const index = { id: Buffer.alloc(16, 7) };
    writeManifest(file('cuda.img'), 'CCRINDEX', IndexSchema, index);
    truncateSync(file('cuda-4242.img'), 30);
    writeFileSync(file('cuda-host-9.img'), 'damaged');
    await checkCheckpoint(dir);
  });
});

describe('an image of protocol 2, whose process speaks to no later version', () => {
  const refusal =
    'cuda-4242.img: protocol is 2 (criu-cuda 0.1.0); this version restores protocol 3 and later: make the checkpoint again';
  const old = join(projectRoot, 'test/fixtures/gpu-image-protocol-2');

  it('is shown with the reason and the remedy', async () => {
    const { out, exitCode } = await run(['show', old]);
    expect(out).toContain(`  cannot be restored: ${refusal}\n`);
    expect(exitCode).toBe(1);
  });

  it('is shown with them as JSON', async () => {
    const { out, exitCode } = await run(['show', old], true);
    expect(JSON.parse(out)).toMatchObject({ images: [{ protocol: 2, refusal, nrChunks: 10 }] });
    expect(exitCode).toBe(1);
  });

  it('is refused by verify', async (context) => {
    needsProgram(context);
    const text = await run(['verify', old]);
    expect(text).toEqual({ out: `cuda-4242.img: ${refusal}\n`, exitCode: 1 });
    const { out, exitCode } = await run(['verify', old], true);
    expect(JSON.parse(out)).toMatchObject({ images: [{ ok: false, error: refusal }] });
    expect(exitCode).toBe(1);
  });
});

describe('image verify', () => {
  it('accepts undamaged images', async (context) => {
    needsProgram(context);
    const { out, exitCode } = await run(['verify', dir]);
    expect(out).toBe('cuda-4242.img: ok, 10 chunks, 20.6 KiB read\n');
    expect(exitCode).toBe(0);
  });

  it('names the stripe, chunk and offset of a flipped bit', async (context) => {
    needsProgram(context);
    const bytes = readFileSync(file('cuda-4242-1.img'));
    bytes[7] = (bytes[7] ?? 0) ^ 1;
    writeFileSync(file('cuda-4242-1.img'), bytes);
    const { out, exitCode } = await run(['verify', dir], true);
    expect(exitCode).toBe(1);
    const { images } = JSON.parse(out) as { images: { ok: boolean; error: string }[] };
    expect(images[0]?.ok).toBe(false);
    expect(images[0]?.error).toMatch(/^cuda-4242-1\.img: chunk \d+ at offset 0 .*xxh3/);
  });

  it('reports a missing stripe like any other damage', async (context) => {
    needsProgram(context);
    rmSync(file('cuda-4242-0.img'));
    const { out, exitCode } = await run(['verify', dir]);
    expect(exitCode).toBe(1);
    expect(out).toContain('cuda-4242-0.img: missing');
  });

  it('says if there is no image', async (context) => {
    needsProgram(context);
    rmSync(file('cuda-4242.img'));
    await expect(run(['verify', dir])).rejects.toThrow('no GPU image');
  });

  it('says how to build the program', async () => {
    const failure = verifyGpuImages(dir, { program: file('not-built') });
    await expect(failure).rejects.toThrow(EnvironmentError);
    await expect(failure).rejects.toHaveProperty('hint', 'the C programs: criu-cuda build');
  });
});
