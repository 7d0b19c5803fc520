// SPDX-License-Identifier: MIT
// The driver's calls that the interceptor must know one by one, from the headers of all CUDA versions since 12.8:
// those that take or give an allocation handle, that share memory, and that begin or end a capture. The list is
// plugins-cuda/intercept/core/cuda_calls_list.h.
//   node scripts/cuda-calls.mjs           compares the list with the headers; exit code 1 when they differ
//   node scripts/cuda-calls.mjs --write   writes the list
//   node scripts/cuda-calls.mjs --fetch   only fetches the headers
//   --offline fetches nothing: exit code 77 where a header is missing; --header FILE prints what a header has
// Headers are fetched with pip into tmp/cuda-headers once.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pythonEnvironment } from './python.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const listFile = join(root, 'plugins-cuda/intercept/core/cuda_calls_list.h');
const headersDir = join(root, 'tmp/cuda-headers');

/** The Python packages with cuda.h; a new version of CUDA is one more line. */
const releases = [
  'nvidia-cuda-runtime-cu12==12.8.90',
  'nvidia-cuda-runtime-cu12==12.9.79',
  'nvidia-cuda-runtime==13.0.96',
  'nvidia-cuda-runtime==13.1.80',
  'nvidia-cuda-runtime==13.2.86',
  'nvidia-cuda-runtime==13.3.29',
  'nvidia-cuda-runtime==13.4.92',
  'nvidia-cuda-runtime==13.5.37',
];

/** Directory of a release's header: `13.5` */
const versionOf = (release) => /==(\d+\.\d+)/.exec(release)[1];

function run(file, args) {
  const { status, stdout, stderr, error } = spawnSync(file, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`${file} failed: ${error?.message ?? stderr.trim().split('\n').at(-1)}`);
  return stdout;
}

/** Whether all headers are here. */
const hasHeaders = () =>
  releases.every((release) => existsSync(join(headersDir, versionOf(release), 'cuda.h')));

/** Fetches the headers that are missing. */
function fetchHeaders() {
  if (hasHeaders()) return;
  const python = join(pythonEnvironment('cuda'), 'bin/python');
  for (const release of releases) {
    const dir = join(headersDir, versionOf(release));
    if (existsSync(join(dir, 'cuda.h'))) continue;
    mkdirSync(headersDir, { recursive: true });
    const work = mkdtempSync(join(headersDir, 'fetch-'));
    try {
      run(python, ['-m', 'pip', 'download', '--quiet', '--no-deps', '--dest', work, release]);
      const [wheel] = readdirSync(work);
      const unpack =
        'import sys, zipfile\n' +
        'z = zipfile.ZipFile(sys.argv[1])\n' +
        'name = next(n for n in z.namelist() if n.endswith("/cuda.h"))\n' +
        'open(sys.argv[2], "wb").write(z.read(name))';
      mkdirSync(dir, { recursive: true });
      run(python, ['-c', unpack, join(work, wheel), join(dir, 'cuda.h')]);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }
}

const modes = [
  [],
  ['-D__CUDA_API_VERSION_INTERNAL'],
  ['-DCUDA_API_PER_THREAD_DEFAULT_STREAM'],
  ['-D__CUDA_API_VERSION_INTERNAL', '-DCUDA_API_PER_THREAD_DEFAULT_STREAM'],
];

/** Every function that a preprocessed header declares, with its parameters. */
function declarations(text) {
  const calls = text.matchAll(/(?:^|[;}\n])\s*(?:extern )?CUresult\s+(cu[A-Z]\w*)\s*\(([^;{}]*)\)\s*;/g);
  return new Map(
    [...calls].map(([, name, parameters]) => [
      name,
      parameters.split(',').map((one) => one.trim().replaceAll(/\s+/g, ' ')),
    ]),
  );
}

const HANDLE = /^(?:const )?CUmemGenericAllocationHandle(?:_v1)? ?(\*?)/;

/**
 * What the interceptor must do about a call: [kind, number of the argument from 1], or nothing.
 * HANDLE takes an allocation handle, GIVES returns one, RANGE shares memory at an address, IMPORT takes memory of
 * others, CAPTURE begins or ends a capture.
 */
function classify(name, parameters) {
  const found = parameters.flatMap((parameter, index) => {
    const match = HANDLE.exec(parameter);
    return match === null ? [] : [[match[1] === '*' ? 'GIVES' : 'HANDLE', index + 1]];
  });
  const numberOf = (type) => parameters.findIndex((one) => type.test(one)) + 1;
  const address = numberOf(/^CUdeviceptr(?:_v2)? \w+$/) || numberOf(/^void ?\* ?\w+$/);
  if (/Bind|GetHandleForAddressRange|IpcGetMemHandle|ExportPointer/.test(name) && address > 0) {
    found.push(['RANGE', address]);
  }
  if (
    /^cu(?:MemImport|MemPoolImport(?!Pointer)|ImportExternalMemory|IpcOpenMem|\w+EndpointImport)/.test(name)
  ) {
    found.push(['IMPORT', 1]);
  }
  if (/^cuStream(?:Begin|End)\w*[cC]apture/.test(name)) found.push(['CAPTURE', 1]);
  return found;
}

/** The rows of one header, as [name, kind, argument]. */
function rowsOf(header) {
  const rows = new Map();
  for (const mode of modes) {
    const text = run('cc', ['-E', '-P', ...mode, `-I${dirname(header)}`, header]);
    for (const [name, parameters] of declarations(text)) {
      for (const [kind, argument] of classify(name, parameters)) {
        rows.set(`${name} ${kind} ${argument}`, [name, kind, argument]);
      }
    }
  }
  return [...rows.values()];
}

/** All rows with the first version that has them. */
function collect() {
  const all = new Map();
  for (const release of releases) {
    const version = versionOf(release);
    const [major, minor] = version.split('.').map(Number);
    for (const row of rowsOf(join(headersDir, version, 'cuda.h'))) {
      const key = row.join(' ');
      if (!all.has(key)) all.set(key, [...row, major * 1000 + minor * 10]);
    }
  }
  return [...all.values()].sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[2] - b[2]));
}

/** The text of the list. */
function listText(rows) {
  const versions = releases.map(versionOf);
  return `// SPDX-License-Identifier: MIT
// Written by scripts/cuda-calls.mjs from cuda.h of CUDA
// ${versions.join(', ')}.
// Calls that the interceptor must know one by one: C(symbol, kind, argument, since). HANDLE takes
// an allocation handle as that argument, GIVES returns one there, RANGE shares the memory at that
// address, IMPORT takes memory of others, CAPTURE begins or ends a capture. \`since\` is the first
// version with the call; 12080 is 12.8 or earlier.
#ifndef CCR_INTERCEPT_CUDA_CALLS_LIST_H
#define CCR_INTERCEPT_CUDA_CALLS_LIST_H

// clang-format off
#define CCR_CUDA_CALLS(C) \\
${rows.map(([name, kind, argument, since]) => `C(${name}, ${kind}, ${argument}, ${since})`).join(' \\\n')}
// clang-format on

#endif
`;
}

const words = process.argv.slice(2);
if (words[0] === '--header') {
  console.log(JSON.stringify(rowsOf(words[1])));
  process.exit();
}
if (words.includes('--offline') && !hasHeaders()) {
  console.error('there is no cuda.h in tmp/cuda-headers (scripts/cuda-calls.mjs --fetch)');
  process.exit(77);
}
fetchHeaders();
if (words.includes('--fetch')) process.exit();
const text = listText(collect());
if (words.includes('--write')) writeFileSync(listFile, text);
else if (readFileSync(listFile, 'utf8') !== text) {
  console.error(`${listFile} differs from the headers: node scripts/cuda-calls.mjs --write`);
  process.exit(1);
}
