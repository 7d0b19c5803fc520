// SPDX-License-Identifier: MIT
// Keeps a small checkpoint of variant parallel for the tests of later versions: images of a protocol must stay
// restorable. Run it once when CCR_PROTOCOL_VERSION is raised, or before the first release with it:
//   node scripts/keep-image.mjs    writes test/fixtures/checkpoints/protocol-N.tar.xz and protocol-N.json
// It needs root, CRIU and the C build; the GPU is the software driver's. CRIU opens the program and its libraries by
// path and compares their sizes, so elsewhere nothing can be restored completely; the tests go as far as the load.
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { checkpoint } from '../dist/checkpoint/index.js';
import { readCheckpointIndex, readGpuImages, supportedProtocols } from '../dist/images/index.js';
import { buildDir, interceptorLibrary, softcudaLibrary } from '../dist/paths.js';
import { variantDir } from '../dist/variant.js';

const out = fileURLToPath(new URL('../test/fixtures/checkpoints', import.meta.url));
/** What the repository can afford for each protocol. */
const MAX_BYTES = 200 * 1024;

/** The checkpoint contains this path. */
const programs = '/var/tmp/criu-cuda-kept';
mkdirSync(programs);
/** Copies a file there. */
const keep = (path) => {
  const copy = join(programs, basename(path));
  copyFileSync(path, copy);
  chmodSync(copy, 0o755);
  return copy;
};

const dir = mkdtempSync('/dev/shm/criu-cuda-keep-');
const imagesDir = join(dir, 'images');
mkdirSync(imagesDir);
writeFileSync(join(dir, 'cuda.conf'), '# nothing is set\n');
const env = {
  CRIU_CUDA_DRIVER: keep(softcudaLibrary()),
  CRIU_CUDA_RUN_DIR: join(dir, 'run'),
  CRIU_CUDA_CONFIG: join(dir, 'cuda.conf'),
  SOFTCUDA_DIR: join(dir, 'devices'),
  SOFTCUDA_MEMORY_MB: '64',
};
const ready = join(dir, 'ready');
const workload = spawn(keep(join(buildDir(), 'test-tools', 'kept-workload')), [ready], {
  cwd: '/',
  env: { ...env, LD_PRELOAD: keep(interceptorLibrary()), PATH: '/usr/bin:/bin' },
  detached: true,
  stdio: 'ignore',
});
try {
  while (!existsSync(ready)) {
    if (workload.exitCode !== null) throw new Error(`kept-workload exited with ${workload.exitCode}`);
    await delay(10);
  }
  await checkpoint({ pid: workload.pid, imagesDir, libdir: variantDir('parallel'), env });
  const [image] = await readGpuImages(imagesDir);
  const index = await readCheckpointIndex(imagesDir);
  for (const name of readdirSync(imagesDir)) {
    if (/\.log$|^stats-/.test(name)) rmSync(join(imagesDir, name));
  }
  const { protocol, tool, pid, allocations, chunks, stripeSizes } = image.manifest;
  if (protocol !== supportedProtocols.max) throw new Error(`the dump has protocol ${protocol}`);
  const name = `protocol-${protocol}`;
  mkdirSync(out, { recursive: true });
  const archive = join(out, `${name}.tar.xz`);
  execFileSync('tar', ['-cJf', archive, '--sort=name', '--owner=0', '--group=0', '-C', imagesDir, '.'], {
    env: { ...process.env, XZ_OPT: '-9e' },
  });
  const bytes = statSync(archive).size;
  if (bytes > MAX_BYTES) throw new Error(`${archive} has ${bytes} bytes; at most ${MAX_BYTES} are accepted`);
  const expected = {
    protocol,
    tool,
    pid,
    addresses: allocations.map(({ address }) => `0x${address.toString(16)}`),
    checkpoint: index.id,
    bytes: allocations.reduce((sum, { size }) => sum + size, 0),
    checksums: chunks.filter(({ zero }) => !zero).map(({ xxh3 }) => xxh3.toString(16).padStart(16, '0')),
    stripeSizes,
    files: readdirSync(imagesDir).sort(),
  };
  writeFileSync(join(out, `${name}.json`), `${JSON.stringify(expected, null, 2)}\n`);
  console.log(`${archive}: ${bytes} bytes`);
} finally {
  workload.kill('SIGKILL');
  for (const made of [dir, programs]) rmSync(made, { recursive: true, force: true });
}
