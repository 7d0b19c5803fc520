// SPDX-License-Identifier: MIT
/** The Debian package: what it installs, and where. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exec } from '../../../lib/exec.ts';
import { findOnPath } from '../../../lib/machine/index.ts';
import { projectRoot } from '../../../lib/paths.ts';

let out: string;
beforeEach(() => {
  out = mkdtempSync(join(tmpdir(), 'criu-cuda-deb-test-'));
});
afterEach(() => {
  rmSync(out, { recursive: true, force: true });
});

/** Mode and path of everything but directories; for a link also its target. */
function contents(listing: string): string[] {
  return listing
    .split('\n')
    .map((line) => /^([^d]\S+) root\/root +\d+ \S+ \S+ \.\/(.*)$/.exec(line))
    .flatMap((match) => (match ? [`${match[1] ?? ''} ${match[2] ?? ''}`] : []))
    .sort((a, b) => (a.slice(11) < b.slice(11) ? -1 : 1));
}

it(
  'contains the plugins, the interceptor, the pool daemon and its units',
  { timeout: 600_000 },
  async (context) => {
    for (const tool of ['dpkg-buildpackage', 'dh']) {
      if (findOnPath(tool, process.env.PATH) === undefined) {
        context.skip(`${tool} is not installed: apt-get install dpkg-dev debhelper`);
      }
    }
    await exec(process.execPath, [join(projectRoot, 'scripts', 'deb.mjs'), out], { timeoutMs: 580_000 });
    const [name = ''] = readdirSync(out).filter((file) => !file.includes('dbgsym'));
    const { stdout } = await exec('dpkg-deb', ['--contents', join(out, name)]);
    // its name has its build id, and images name the file
    const named = stdout.replaceAll(/libcuda_intercept-[0-9a-f]{16}/g, 'libcuda_intercept-BUILD');
    const isPage = (line: string): boolean => line.includes(' usr/share/man/');
    const pages = contents(named).filter(isPage);
    expect(pages).toContain('-rw-r--r-- usr/share/man/man1/criu-cuda.1.gz');
    expect(pages).toContain('-rw-r--r-- usr/share/man/man1/criu-cuda-checkpoint.1.gz');
    expect(pages.length).toBeGreaterThan(25);
    expect(contents(named).filter((line) => !isPage(line))).toEqual([
      '-rw-r--r-- lib/systemd/system/cuda-poold.service',
      '-rw-r--r-- lib/systemd/system/cuda-poold.socket',
      '-rwxr-xr-x usr/lib/criu-cuda/bin/cuda-checkpoint',
      '-rwxr-xr-x usr/lib/criu-cuda/criu-cuda-run',
      '-rwxr-xr-x usr/lib/criu-cuda/full/cuda-look',
      '-rwxr-xr-x usr/lib/criu-cuda/full/cuda-poold',
      '-rw-r--r-- usr/lib/criu-cuda/full/cuda_plugin.so',
      '-rw-r--r-- usr/lib/criu-cuda/interceptor/libcuda_intercept-BUILD.so',
      '-rwxr-xr-x usr/lib/criu-cuda/parallel/cuda-look',
      '-rwxr-xr-x usr/lib/criu-cuda/parallel/cuda-poold',
      '-rw-r--r-- usr/lib/criu-cuda/parallel/cuda_plugin.so',
      '-rwxr-xr-x usr/lib/criu-cuda/remap/cuda-look',
      '-rw-r--r-- usr/lib/criu-cuda/remap/cuda_plugin.so',
      '-rwxr-xr-x usr/lib/criu-cuda/stock/cuda-look',
      '-rw-r--r-- usr/lib/criu-cuda/stock/cuda_plugin.so',
      'lrwxrwxrwx usr/lib/criu/cuda-look -> ../criu-cuda/full/cuda-look',
      'lrwxrwxrwx usr/lib/criu/cuda-poold -> ../criu-cuda/full/cuda-poold',
      'lrwxrwxrwx usr/lib/criu/cuda_plugin.so -> ../criu-cuda/full/cuda_plugin.so',
      '-rw-r--r-- usr/share/doc/criu-cuda-plugins/changelog.gz',
      '-rw-r--r-- usr/share/doc/criu-cuda-plugins/copyright',
    ]);
    const fields = await exec('dpkg-deb', ['--field', join(out, name), 'Package', 'Depends']);
    expect(fields.stdout).toMatch(/^Package: criu-cuda-plugins\nDepends: libc6 \(>= /);
  },
);
