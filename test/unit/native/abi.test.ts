// SPDX-License-Identifier: MIT
/** What koffi is told about libcuda and NVML, compiled against the headers that the C side uses. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { cudaErrors } from '../../../lib/gpu/cuda-results.ts';
import * as abi from '../../../lib/native/abi.ts';
import { loadKoffi, typeResolver } from '../../../lib/native/koffi-loader.ts';
import { driverCandidates } from '../../../lib/native/libraries.ts';
import { pluginSourceDir, projectRoot } from '../../../lib/paths.ts';

const koffi = loadKoffi();
const type = typeResolver(koffi);
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-abi-'));
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** A file of plugins-cuda/common, whichever folder of it has it. */
function common(name: string): string {
  const found = readdirSync(join(pluginSourceDir, 'common'), { recursive: true, encoding: 'utf8' });
  const path = found.find((one) => basename(one) === name);
  if (path === undefined) throw new Error(`plugins-cuda/common has no ${name}`);
  return join(pluginSourceDir, 'common', path);
}

/** What the compiler has against it; empty when it holds. */
async function complaints(compiler: 'gcc' | 'g++', lines: readonly string[]): Promise<string> {
  const file = join(dir, compiler === 'gcc' ? 'abi.c' : 'abi.cc');
  writeFileSync(file, `${lines.join('\n')}\n`);
  const standard = compiler === 'gcc' ? '-std=gnu11' : '-std=c++17';
  const { stderr } = await execResult(compiler, [
    standard,
    '-fsyntax-only',
    '-Werror',
    `-I${pluginSourceDir}`,
    file,
  ]);
  return stderr;
}

const structsOf = (prefix: string): abi.StructName[] =>
  (Object.keys(abi.structs) as abi.StructName[]).filter((name) => name.startsWith(prefix));

/** koffi's layout of one struct as assertions. */
function layout(name: abi.StructName): string[] {
  const struct = type(name);
  const fields = Object.entries<string>(abi.structs[name]);
  return [
    `static_assert(sizeof(${name}) == ${koffi.sizeof(struct)}, "${name}");`,
    ...fields.flatMap(([field, text]) => [
      `static_assert(offsetof(${name}, ${field}) == ${koffi.offsetof(struct, field)}, "${name}.${field}");`,
      `static_assert(sizeof(((${name} *)0)->${field}) == ${koffi.sizeof(type(text))}, "${name}.${field}");`,
    ]),
  ];
}

const parametersOf = (parameters: readonly string[]): string =>
  parameters.map((text) => text.replace(/^out /, '')).join(', ') || 'void';

const cudaLines = (): string[] => [
  `#include "${common('driver.h')}"`,
  '#include <assert.h>',
  ...structsOf('CU').flatMap(layout),
  ...Object.entries(abi.cudaFunctions).map(
    ([name, parameters]) => `CUresult ${name}(${parametersOf(parameters)});`,
  ),
  ...abi.processStates.map(
    (state, value) => `static_assert(CU_PROCESS_STATE_${state.toUpperCase()} == ${value}, "${state}");`,
  ),
  `static_assert(CCR_DRIVER_MIN_VERSION == ${abi.MIN_DRIVER_VERSION}, "version");`,
  `static_assert(CCR_DRIVER_STORAGE_VERSION == ${abi.STORAGE_DRIVER_VERSION}, "custom storage");`,
  `static_assert(CUDA_SUCCESS == ${abi.CUDA_SUCCESS}, "success");`,
  ...Object.entries(cudaErrors).map(
    ([value, name]) => `static_assert(CUDA_ERROR_${name} == ${value}, "${name}");`,
  ),
  '#define ONE(name, value) +1',
  `static_assert(CCR_CUDA_RESULTS(ONE) == ${Object.keys(cudaErrors).length} + 1, "every result is listed");`,
];

it('CUDA is declared as in cuda_abi.h, with every result', async () => {
  const lines = cudaLines();
  expect(lines.length).toBeGreaterThan(100);
  expect(await complaints('gcc', lines)).toBe('');
});

it.each([
  ['offsetof(CUcheckpointRestoreArgs, gpuPairsCount) == 8', 'CUcheckpointRestoreArgs.gpuPairsCount'],
  ['CUDA_ERROR_NOT_READY == 600', 'NOT_READY'],
])('a wrong number in "%s" does not compile', async (assertion, name) => {
  const lines = cudaLines().map((line) => line.replace(`(${assertion}`, `(${assertion}1`));
  expect(await complaints('gcc', lines)).toContain(name);
});

it('a wrong parameter does not compile', async () => {
  const name = 'cuCheckpointProcessLock';
  const lines = cudaLines().map((line) => line.replace(`${name}(int, `, `${name}(long, `));
  expect(await complaints('gcc', lines)).toContain(name);
});

it('NVML is declared as in native/nvml.h', async () => {
  const own = {
    nvmlMemory_t: 'NvmlMemory',
    nvmlPciInfo_t: 'NvmlPciInfo',
    nvmlProcessInfo_t: 'NvmlProcessInfo',
  };
  const structs = structsOf('nvml');
  expect(structs).toEqual(Object.keys(own));
  const lines = [
    `#include "${join(projectRoot, 'native', 'nvml.h')}"`,
    '#include <cstddef>',
    '#include <type_traits>',
    'using nvmlDevice_t = ccr::NvmlDevice;',
    'using nvmlReturn_t = int;',
    ...Object.entries(own).map(([name, ours]) => `using ${name} = ccr::${ours};`),
    '#define CALL(name, parameters) +1',
    `static_assert(CCR_NVML_CALLS(CALL) == ${Object.keys(abi.nvmlFunctions).length}, "every call");`,
    `static_assert(ccr::NVML_SUCCESS == ${abi.NVML_SUCCESS}, "success");`,
    `static_assert(ccr::NVML_ERROR_NOT_SUPPORTED == ${abi.NVML_ERROR_NOT_SUPPORTED}, "not supported");`,
    `static_assert(ccr::NVML_ERROR_INSUFFICIENT_SIZE == ${abi.NVML_ERROR_INSUFFICIENT_SIZE}, "size");`,
    ...structs.flatMap(layout),
    ...Object.entries(abi.nvmlFunctions).map(
      ([name, parameters]) =>
        `static_assert(std::is_same<decltype(ccr::Nvml::${name}), nvmlReturn_t (*)(${parametersOf(parameters)})>::value, "${name}");`,
    ),
  ];
  expect(await complaints('g++', lines)).toBe('');
});

it('the driver is looked for where driver.c looks', () => {
  const text = readFileSync(common('driver.c'), 'utf8');
  const list = /candidates\[\] = \{([^}]*)\}/.exec(text)?.[1] ?? '';
  expect([...list.matchAll(/"([^"]+)"/g)].map(([, path]) => path)).toEqual(driverCandidates);
});
