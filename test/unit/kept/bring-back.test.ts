// SPDX-License-Identifier: MIT
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { InterruptedError } from '../../../lib/errors.ts';
import { bringBackFiles, KeptFilesError, manifestName, type ManifestFile } from '../../../lib/kept/index.ts';

let dir: string;
let images: string;
beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'ccr-kept-')));
  images = join(dir, 'images');
  mkdirSync(images);
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

const place = (name: string): string => join(dir, 'program', name);

function listed(files: Partial<ManifestFile>[], version = 1): void {
  const whole = { kind: 'file', size: 4, mode: 0o640, uid: process.getuid?.(), gid: process.getgid?.() };
  const more = { mtimeMs: 1_000_000, access: 'write', isMemory: true };
  const all = files.map((file) => ({ ...whole, ...more, ...file }));
  writeFileSync(join(images, manifestName), JSON.stringify({ version, files: all }));
}

const kept = (name: string, text: string): string => {
  writeFileSync(join(images, name), text);
  return name;
};

const problems = async (): Promise<readonly string[]> => {
  try {
    await bringBackFiles(images);
    return [];
  } catch (error) {
    if (error instanceof KeptFilesError) return error.files;
    throw error;
  }
};

describe('what is missing', () => {
  it('is created as it was, with its links', async () => {
    const paths = [place('one'), place('two')];
    listed([{ paths, kept: kept('criu-cuda-file-0.img', 'text') }]);
    expect(await bringBackFiles(images)).toEqual(paths);
    const [one, two] = paths.map((path) => statSync(path));
    expect(one).toMatchObject({ mtimeMs: 1_000_000, nlink: 2, ino: two?.ino });
    expect((one?.mode ?? 0) & 0o7777).toBe(0o640);
    expect(readFileSync(place('two'), 'utf8')).toBe('text');
    expect(await bringBackFiles(images)).toEqual([]);
  });

  it('is a link to the name that is there', async () => {
    mkdirSync(join(dir, 'program'));
    writeFileSync(place('two'), 'other');
    listed([{ paths: [place('one'), place('two')], kept: kept('criu-cuda-file-0.img', 'text') }]);
    await bringBackFiles(images);
    expect(readFileSync(place('one'), 'utf8')).toBe('text');
    expect(statSync(place('one')).ino).toBe(statSync(place('two')).ino);
  });

  it.each(['directory', 'fifo'] as const)('may be a %s', async (kind) => {
    listed([{ paths: [place('it')], kind, size: 0, mode: 0o700 }]);
    await bringBackFiles(images);
    const stat = statSync(place('it'));
    expect(kind === 'fifo' ? stat.isFIFO() : stat.isDirectory()).toBe(true);
    expect(stat.mode & 0o7777).toBe(0o700);
  });

  it('is not created through a symbolic link that somebody has put above it', async () => {
    mkdirSync(join(dir, 'etc'));
    symlinkSync(join(dir, 'etc'), join(dir, 'program'));
    listed([{ paths: [place('cron')], kept: kept('criu-cuda-file-0.img', 'text') }]);
    expect(await problems()).toEqual([`${place('cron')} leads through a symbolic link now`]);
    expect(existsSync(join(dir, 'etc', 'cron'))).toBe(false);
  });
});

describe('what is there', () => {
  beforeEach(() => {
    mkdirSync(join(dir, 'program'));
  });

  it('is not followed if it is a symbolic link', async () => {
    writeFileSync(join(dir, 'victim'), 'safe');
    symlinkSync(join(dir, 'victim'), place('file'));
    listed([{ paths: [place('file')], kept: kept('criu-cuda-file-0.img', 'text') }]);
    expect(await problems()).toEqual([`${place('file')} is not a file now`]);
    expect(readFileSync(join(dir, 'victim'), 'utf8')).toBe('safe');
  });

  it('on a disk is refused when it has changed, and left as it is', async () => {
    writeFileSync(place('file'), 'more');
    listed([{ paths: [place('file')], isMemory: false, kept: kept('criu-cuda-file-0.img', 'text') }]);
    expect(await problems()).toEqual([`${place('file')} has changed since the dump`]);
    expect(await bringBackFiles(images, { keepShared: [place('file')] })).toEqual([]);
    expect(readFileSync(place('file'), 'utf8')).toBe('more');
  });

  it('and was opened for appending may have changed in any way', async () => {
    const path = place('log');
    listed([{ paths: [path], access: 'append', kept: kept('criu-cuda-file-0.img', 'text') }]);
    writeFileSync(path, 'rotated');
    expect(await bringBackFiles(images)).toEqual([]);
    expect(readFileSync(path, 'utf8')).toBe('rotated');
  });

  it('and is output may have grown, but not changed', async () => {
    const file = {
      paths: [place('log')],
      access: 'append' as const,
      onlyGrows: true,
      kept: kept('criu-cuda-file-0.img', 'text'),
    };
    listed([file]);
    writeFileSync(place('log'), 'text and more');
    expect(await problems()).toEqual([]);
    writeFileSync(place('log'), 'else and more');
    listed([{ ...file, isMemory: false }]);
    expect(await problems()).toEqual([
      `${place('log')} has changed since the dump: 4 B at the dump, 13 B now`,
    ]);
  });

  it('is not written through a symbolic link that took the place of its directory', async () => {
    mkdirSync(join(dir, 'etc'));
    writeFileSync(join(dir, 'etc', 'passwd'), 'safe');
    rmSync(join(dir, 'program'), { recursive: true });
    symlinkSync(join(dir, 'etc'), join(dir, 'program'));
    listed([{ paths: [place('passwd')], kept: kept('criu-cuda-file-0.img', 'evil') }]);
    await expect(bringBackFiles(images)).rejects.toThrow(/leads somewhere else|through a symbolic link/);
    expect(readFileSync(join(dir, 'etc', 'passwd'), 'utf8')).toBe('safe');
  });

  it("is CRIU's own name, left by a restore that failed", async () => {
    writeFileSync(place('sem.a'), 'text');
    linkSync(place('sem.a'), place('link_remap.1'));
    const paths = [place('link_remap.1'), place('sem.a')];
    listed([{ paths, kept: kept('criu-cuda-file-0.img', 'text') }]);
    expect(await bringBackFiles(images)).toEqual([]);
  });

  it("is refused if it is CRIU's name for a file of another checkpoint", async () => {
    writeFileSync(place('sem.a'), 'text');
    writeFileSync(place('link_remap.1'), 'other');
    const paths = [place('link_remap.1'), place('sem.a')];
    listed([{ paths, kept: kept('criu-cuda-file-0.img', 'text') }]);
    expect(await problems()).toEqual([expect.stringContaining('belongs to another checkpoint')]);
    rmSync(place('link_remap.1'));
    linkSync(place('sem.a'), place('sem.b'));
    expect(await bringBackFiles(images)).toEqual([place('link_remap.1')]);
    expect(statSync(place('link_remap.1')).nlink).toBe(3);
  });
});

describe('an interruption', () => {
  const MOST = 128 << 20;
  let caller: AbortController;
  beforeEach(() => {
    mkdirSync(join(dir, 'program'));
    writeFileSync(join(images, 'criu-cuda-file-0.img'), Buffer.alloc(MOST, 'kept'));
    listed([{ paths: [place('file')], size: MOST, kept: 'criu-cuda-file-0.img' }]);
    caller = new AbortController();
    setImmediate(() => {
      caller.abort(new InterruptedError('ERR_INTERRUPTED', 'enough'));
    });
  });
  afterEach(() => {
    expect(caller.signal.aborted).toBe(true);
  });

  it('leaves nothing of a file that was being created', async () => {
    await expect(bringBackFiles(images, { signal: caller.signal })).rejects.toThrow('enough');
    expect(readdirSync(join(dir, 'program'))).toEqual([]);
  });

  it('ends a comparison, which changes nothing', async () => {
    const contents = Buffer.alloc(MOST, 'kept');
    contents.write('else', MOST - 4);
    writeFileSync(place('file'), contents);
    await expect(bringBackFiles(images, { signal: caller.signal })).rejects.toThrow('enough');
    expect(readFileSync(place('file')).equals(contents)).toBe(true);
  });
});

describe('the manifest', () => {
  it('may be absent', async () => {
    expect(await bringBackFiles(images)).toEqual([]);
  });

  it.each(['', '{', '[]', '{"version":1}', '{"version":1,"files":[{"paths":["relative"]}]}'])(
    'is damaged: %s',
    async (text) => {
      writeFileSync(join(images, manifestName), text);
      await expect(bringBackFiles(images)).rejects.toThrow(/criu-cuda.json is damaged/);
    },
  );

  it('names no contents outside the images', async () => {
    listed([{ paths: [place('file')], kept: '../../etc/shadow' }]);
    await expect(bringBackFiles(images)).rejects.toThrow(/is damaged/);
  });

  it('of a later version is refused', async () => {
    listed([], 2);
    await expect(bringBackFiles(images)).rejects.toThrow(/has version 2, and this program knows 1/);
  });
});
