// SPDX-License-Identifier: MIT
/** A machine in a temporary folder: programs are real scripts on its PATH. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execResult } from '../../../lib/exec.ts';
import type { System } from '../../../lib/machine/index.ts';

export interface TestMachine {
  dir: string;
  bin: string;
  system: System;
  /** Writes a shell script somewhere below the machine's folder. @returns its path */
  script(path: string, body: string): string;
  remove(): void;
}

export function createMachine(overrides: Partial<System> = {}): TestMachine {
  const dir = mkdtempSync(join(tmpdir(), 'ccr-setup-'));
  const bin = join(dir, 'bin');
  const path = `${bin}:/usr/bin:/bin`;
  mkdirSync(bin);
  return {
    dir,
    bin,
    system: {
      env: { PATH: bin, XDG_CACHE_HOME: join(dir, 'user') },
      family: ['debian'],
      codename: 'bookworm',
      isRoot: true,
      sbinPath: '',
      programDir: join(dir, 'programs'),
      aptDir: join(dir, 'apt'),
      cacheDir: join(dir, 'cache'),
      jobs: 1,
      signal: undefined,
      run: (file, args, options) =>
        execResult(file, args, { ...options, env: { ...options?.env, PATH: path } }),
      ...overrides,
    },
    script: (name, body) => {
      const file = join(dir, name);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, `#!/bin/sh\n${body}\n`);
      chmodSync(file, 0o755);
      return file;
    },
    remove: () => {
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** A script that answers like CRIU. */
export function criuScript(version: string, check = 'echo "Looks good."'): string {
  return `case "$1" in --version) echo "Version: ${version}";; check) ${check};; *) exit 9;; esac`;
}

/** What `criu check` prints in a plain chroot. */
export const checkInChroot =
  'echo "Error (criu/mount.c:381): mnt: No parent found for mountpoint 164 (@./tmp)" >&2; exit 1';
