// SPDX-License-Identifier: MIT
// Generates the TypeScript of the image layouts from their .proto files, with protoc and protoc-gen-es. With --check
// it writes nothing, and fails if the files differ from what it would write.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Directories of .proto files, and the directory for the TypeScript of each. */
const sets = [
  { from: 'plugins-cuda/image', to: 'lib/images/gen' },
  { from: 'lib/criu/proto', to: 'lib/criu/gen' },
];

function generate(from, to) {
  const files = readdirSync(join(root, from)).filter((name) => name.endsWith('.proto'));
  const plugin = join(root, 'node_modules/.bin/protoc-gen-es');
  const args = [`--plugin=${plugin}`, `--es_out=${to}`, '--es_opt=target=ts,import_extension=ts'];
  const { status, error } = spawnSync('protoc', [...args, '-I', join(root, from), ...files], {
    stdio: 'inherit',
  });
  if (error) {
    console.error(
      `cannot run protoc: ${error.message}\ninstall it: criu-cuda setup, or apt-get install protobuf-compiler`,
    );
    process.exit(2);
  }
  if (status !== 0) process.exit(1);
}

/** File contents by name; the directory has nothing else. */
const contents = (dir) =>
  JSON.stringify(readdirSync(dir).map((name) => [name, readFileSync(join(dir, name), 'utf8')]));

function isCurrent(from, to) {
  const scratch = mkdtempSync(join(tmpdir(), 'criu-cuda-protobuf-'));
  try {
    generate(from, scratch);
    return contents(scratch) === contents(join(root, to));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

if (process.argv.includes('--check')) {
  const old = sets.filter(({ from, to }) => !isCurrent(from, to));
  for (const { from, to } of old) console.error(`${to} does not match ${from}: run npm run build:protobuf`);
  process.exit(old.length > 0 ? 1 : 0);
}
for (const { from, to } of sets) generate(from, join(root, to));
