// SPDX-License-Identifier: MIT
// `npm run deb [DIR]`: the Debian package of the plugins, the interceptor, the pool daemon, its units and the man pages,
// into DIR, by default build/deb. It is built in a copy of the sources, because dpkg-buildpackage writes next to the directory
// that it builds.
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeManPages } from './man.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const out = resolve(process.argv[2] ?? join(root, 'build/deb'));
const parent = mkdtempSync(join(tmpdir(), 'criu-cuda-deb-'));
const copy = join(parent, 'criu-cuda-toolkit');
const isSource = (path) => !/\/plugins-cuda\/build[^/]*$/.test(path);

try {
  for (const name of ['debian', 'packaging', 'plugins-cuda', 'LICENSES', 'CHANGELOG.md']) {
    cpSync(join(root, name), join(copy, name), { recursive: true, filter: isSource });
  }
  await writeManPages(join(copy, 'man'));
  const args = ['--unsigned-source', '--unsigned-changes', '--build=binary'];
  const { status, error } = spawnSync('dpkg-buildpackage', args, { cwd: copy, stdio: 'inherit' });
  if (error)
    console.error(`cannot run dpkg-buildpackage: ${error.message}; apt-get install dpkg-dev debhelper`);
  process.exitCode = status ?? 1;
  if (status === 0) {
    mkdirSync(out, { recursive: true });
    for (const name of readdirSync(parent).filter((one) => one.endsWith('.deb'))) {
      copyFileSync(join(parent, name), join(out, name));
      console.log(join(out, name));
    }
  }
} finally {
  rmSync(parent, { recursive: true, force: true });
}
