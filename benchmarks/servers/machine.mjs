// SPDX-License-Identifier: MIT
// What a result depends on besides this project.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, release } from 'node:os';

/** The output of a program, or null where it fails or does not exist. */
function outputOf(program, ...args) {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return null;
  }
}

/** The mount of `path`, and its options. */
function mountOf(path) {
  const mounts = readFileSync('/proc/mounts', 'utf8').trimEnd().split('\n');
  const under = mounts
    .map((line) => line.split(' '))
    .filter(([, at]) => `${path}/`.startsWith(`${at === '/' ? '' : at}/`));
  const [, at, type, mountOptions] = under.reduce((best, one) =>
    one[1].length >= best[1].length ? one : best,
  );
  return `${type} on ${at} (${mountOptions})`;
}

const chosen = (file) => /\[(\w+)\]/.exec(readFileSync(file, 'utf8'))?.[1] ?? null;

const versions =
  'import importlib.metadata as m\nfor n in "torch", "transformers", "vllm":\n try: print(n, m.version(n))\n except Exception: pass';

/** Of the machine and of the programs that are measured. @param {string} criuCuda its command @param {string} store of images */
export function machineFacts(criuCuda, store) {
  return {
    gpu: outputOf('nvidia-smi', '--query-gpu=name,driver_version,memory.total', '--format=csv,noheader'),
    kernel: release(),
    cores: availableParallelism(),
    transparentHugePages: chosen('/sys/kernel/mm/transparent_hugepage/enabled'),
    store: mountOf(store),
    criuCuda: outputOf(criuCuda, '--version'),
    python: outputOf('python3', '--version'),
    packages: outputOf('python3', '-c', versions)?.split('\n') ?? [],
    when: new Date().toISOString(),
  };
}
