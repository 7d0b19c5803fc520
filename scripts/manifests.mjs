// SPDX-License-Identifier: MIT
// Validates Kubernetes manifests against the schemas that Kubernetes publishes, strictly: a field that they do not have is an
// error. Without arguments, those of examples/kubernetes.
//   node scripts/manifests.mjs [FILE…]
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { pythonEnvironment } from './python.mjs';
import { sourceFiles } from './sources.mjs';

/** The oldest version that we name, and the newest that the validator has. */
const versions = ['1.30', '1.37'];

const named = process.argv.slice(2);
const files =
  named.length > 0 ? named : sourceFiles().filter((path) => /^examples\/kubernetes\/.*\.yaml$/.test(path));
if (files.length === 0) {
  console.error('there are no manifests to validate');
  process.exit(1);
}
const program = join(pythonEnvironment('kubernetes'), 'bin', 'kubernetes-validate');
const words = ['--strict', '--quiet', ...versions.flatMap((version) => ['--kubernetes-version', version])];
const { status, stdout, stderr, error } = spawnSync(program, [...words, ...files], { encoding: 'utf8' });
if (status !== 0) console.error(`${error?.message ?? ''}${stdout ?? ''}${stderr ?? ''}`.trim());
process.exitCode = status === 0 ? 0 : 1;
