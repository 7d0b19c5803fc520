// SPDX-License-Identifier: MIT
import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import { endGeneration, findGeneration, writeGeneration } from '../../../lib/kept/index.ts';

const path = `/dev/shm/criu-cuda-generation-${process.pid}`;
const other = `/dev/shm/ccr-other-${process.pid}`;
const uid = process.getuid?.() ?? 0;
const gid = process.getgid?.() ?? 0;
afterEach(() => {
  for (const one of [path, other]) rmSync(one, { force: true, recursive: true });
});

const write = (): unknown => writeGeneration({ path, number: 4, uid, gid });

it('is written in place, always as long', () => {
  expect(write()).toMatchObject({ number: 5 });
  expect(readFileSync(path, 'utf8')).toMatch(/^5 [0-9a-f]{32} {29}\n$/);
  writeGeneration({ path, number: 99, uid, gid });
  expect(readFileSync(path, 'utf8')).toMatch(/^100 [0-9a-f]{32} {27}\n$/);
});

it('belongs to the user of the program where it is missing, as after a reboot', () => {
  const nobody = uid === 0 ? 65_534 : uid;
  writeGeneration({ path, number: 0, uid: nobody, gid: nobody === uid ? gid : nobody });
  expect(statSync(path)).toMatchObject({ uid: nobody, mode: 0o100644 });
  expect(writeGeneration({ path, number: 0, uid: nobody, gid })).toMatchObject({ number: 1 });
  expect(statSync(path).uid).toBe(nobody);
});

it('can be read by others, whatever the mask of the restore', () => {
  const before = process.umask(0o077);
  try {
    write();
  } finally {
    process.umask(before);
  }
  expect(statSync(path).mode).toBe(0o100644);
});

it('is not written through a link, nor into another file', () => {
  writeFileSync(other, 'untouched');
  symlinkSync(other, path);
  expect(write()).toMatch(/ELOOP/);
  rmSync(path);
  linkSync(other, path);
  expect(write()).toMatch(/belongs to another user/);
  expect(writeGeneration({ path: other, number: 0, uid, gid })).toMatch(/not a generation file/);
  expect(writeGeneration({ path: `/dev/shm/../${path}`, number: 0, uid, gid })).toMatch(
    /not a generation file/,
  );
  expect(readFileSync(other, 'utf8')).toBe('untouched');
});

it('is found by the environment of the program, where it may be', () => {
  write();
  const child = spawn('sleep', ['100'], { env: { CRIU_CUDA_GENERATION_FILE: path, PATH: process.env.PATH } });
  const liar = spawn('sleep', ['100'], {
    env: { CRIU_CUDA_GENERATION_FILE: '/etc/passwd', PATH: process.env.PATH },
  });
  try {
    expect(findGeneration(child.pid ?? 0)).toEqual({ path, number: 5, uid, gid });
    expect(findGeneration(liar.pid ?? 0)).toBeUndefined();
    expect(findGeneration(process.pid)).toBeUndefined();
  } finally {
    child.kill();
    liar.kill();
  }
});

it.each(['a named pipe', 'a link to a file without end', 'a directory'])(
  'is not waited for where the program has made %s of it',
  (what) => {
    if (what === 'a named pipe') execFileSync('mkfifo', [path]);
    else if (what === 'a directory') mkdirSync(path);
    else symlinkSync('/dev/zero', path);
    const child = spawn('sleep', ['100'], {
      env: { CRIU_CUDA_GENERATION_FILE: path, PATH: process.env.PATH },
    });
    try {
      expect(findGeneration(child.pid ?? 0)).toEqual({ path, number: 0, uid, gid });
    } finally {
      child.kill();
    }
  },
);

it('is removed by its name only for the process that has it', () => {
  write();
  endGeneration(path, process.pid + 1);
  expect(existsSync(path)).toBe(true);
  endGeneration(path, process.pid);
  expect(existsSync(path)).toBe(false);
  endGeneration(path, process.pid);
});
