// SPDX-License-Identifier: MIT
/** The result of `npm pack`, installed in an empty folder without a compiler on PATH, and used from there. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { prebuiltDir, projectRoot } from '../../../lib/paths.ts';
import { findOnPath } from '../../../lib/machine/index.ts';

/** Programs that npm, its scripts and our programs run. */
const tools = ['node', 'npm', 'sh', 'env', 'dirname', 'readlink', 'uname'];
const noNetwork = /EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH/;
const quiet = ['--loglevel=error', '--no-audit', '--no-fund', '--prefer-offline'];
const name = 'criu-cuda-toolkit';
let dir: string;
let installed: string;
let archive: string;
let files: string[];
let missing: string | undefined;

function run(file: string, args: readonly string[], env: Record<string, string> = {}): Promise<ExecResult> {
  return execResult(file, args, { cwd: dir, env: { PATH: join(dir, 'bin'), ...env }, timeoutMs: 240_000 });
}

/** Packs the project. @returns the name of the file */
async function pack(): Promise<string> {
  const packed = await run('npm', ['pack', projectRoot, '--ignore-scripts', '--json']);
  expect(packed.exitCode, packed.stderr).toBe(0);
  const [one] = JSON.parse(packed.stdout) as { filename: string; files: { path: string }[] }[];
  files = (one?.files ?? []).map(({ path }) => path);
  return one?.filename ?? '';
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-package-'));
  installed = join(dir, 'node_modules', name);
  if (!existsSync(join(prebuiltDir, 'criu_cuda.node'))) {
    missing = 'no prebuilt binaries: npm run prebuilds';
    return;
  }
  mkdirSync(join(dir, 'bin'));
  for (const tool of tools) {
    const path = findOnPath(tool, process.env.PATH);
    if (path !== undefined) symlinkSync(path, join(dir, 'bin', tool));
  }
  archive = await pack();
  writeFileSync(join(dir, 'package.json'), '{ "private": true }');
  const install = await run('npm', ['install', `./${archive}`, ...quiet]);
  if (install.exitCode !== 0 && noNetwork.test(install.stderr))
    missing = 'the package registry is not reachable';
  else expect(install.exitCode, install.stderr).toBe(0);
}, 300_000);
beforeEach((context) => {
  if (missing !== undefined) context.skip(missing);
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** Size in bytes of the files below a directory. */
function sizeOf(path: string): number {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}

const shipped = (): string => join(installed, 'prebuilds', `linux-${process.arch}`);

function softcuda(): Record<string, string> {
  const library = join(shipped(), 'lib', 'softcuda', 'libcuda.so.1');
  return { CRIU_CUDA_DRIVER: library, SOFTCUDA_DIR: join(dir, 'devices') };
}

/** A TypeScript program that uses every entry point. */
const consumer = `
  import { checkpoint, ToolkitError, UsageError, type CheckpointResult } from '${name}';
  import { runBenchmark, type BenchmarkRun } from '${name}/bench';
  import { createContainer, type ContainerCreateOptions } from '${name}/container';
  import { parseDeviceMap, UsageError as GpuUsageError, type DevicePair, type ProcessState } from '${name}/gpu';
  import { readGpuImages, type GpuImage } from '${name}/images';
  import { dropImages, type PoolStatus } from '${name}/pool';
  import { checkMachine, type MachineReport } from '${name}/setup';

  export const used = [runBenchmark, createContainer, readGpuImages, checkMachine];
  export type Used = [BenchmarkRun, ContainerCreateOptions, GpuImage, PoolStatus, MachineReport];
  export const state: ProcessState = 'running';
  const uuid = 'GPU-00000000-0000-0000-0000-000000000000';
  const pairs: DevicePair[] = parseDeviceMap(uuid + '=' + uuid);
  const refusal = (run: Promise<unknown>): Promise<boolean> =>
    run.then(() => false, (error: unknown) => error instanceof UsageError && error instanceof ToolkitError);
  async function main(): Promise<void> {
    // @ts-expect-error a pid is a number
    const result: Promise<CheckpointResult> = checkpoint({ pid: '1', imagesDir: '/nowhere' });
    // @ts-expect-error a directory is needed
    const refused = [await refusal(result), await refusal(dropImages(undefined))];
    console.log(JSON.stringify({ refused, devices: pairs.length, same: GpuUsageError === UsageError }));
  }
  void main();
`;

/** The examples of docs/library.md; what `await`s is in a function, because CommonJS has no `await` at the top. */
function examplesOfPage(): string[] {
  const page = readFileSync(join(projectRoot, 'docs', 'library.md'), 'utf8');
  const examples = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, text = '']) => text);
  expect(examples.length).toBeGreaterThan(2);
  return examples.map((text) => {
    const [imports = ''] = /^(?:import .*?;\n|\n)*/s.exec(text) ?? [];
    return `${imports}export async function example(): Promise<void> {\n${text.slice(imports.length)}}\n`;
  });
}

/** Queries the driver and NVML, and says which addon answered. */
const ask = `
  const driver = await openDriver();
  const { gpus } = await listGpus();
  const code = await driver.state(process.pid).catch((error) => error instanceof DriverError && error.code);
  const maps = process.getBuiltinModule('node:fs').readFileSync('/proc/self/maps', 'utf8');
  console.log(JSON.stringify([gpus[0].name, code, /\\S*criu_cuda\\.node/.exec(maps)[0]]));`;
const names = '{ DriverError, listGpus, openDriver }';

const expected = (): unknown[] => [
  'softcuda software device 0',
  'ERR_DRIVER_NOT_INITIALIZED',
  join(shipped(), 'criu_cuda.node'),
];

describe('the package', () => {
  it('contains what runs and its sources, and nothing that was built here', () => {
    for (const path of [
      'dist/api/index.js',
      'dist/api/index.d.ts',
      'dist/api/gpu.d.ts',
      'dist/cli.cjs',
      'native/binding.cc',
      'benchmarks/addon.mjs',
      'benchmarks/contexts.mjs',
    ]) {
      expect(files).toContain(path);
    }
    expect(files).toContain('plugins-cuda/CMakeLists.txt');
    expect(files).toContain(`prebuilds/linux-${process.arch}/lib/full/cuda_plugin.so`);
    expect(files).toContain(`prebuilds/linux-${process.arch}/bin/cuda-checkpoint`);
    expect(files).toContain('packaging/systemd/cuda-poold.service');
    expect(files.filter((path) => /^(?:plugins-cuda\/)?(?:build|test\/)|tsbuildinfo/.test(path))).toEqual([]);
  });

  it('takes less than 30 MiB with all its dependencies', () => {
    expect(sizeOf(join(dir, 'node_modules'))).toBeLessThan(30 * 1024 * 1024);
    for (const name of ['echarts', 'cmake-js']) {
      expect(existsSync(join(dir, 'node_modules', name))).toBe(false);
    }
  });

  it('is installed without building anything', () => {
    expect(existsSync(join(installed, 'build'))).toBe(false);
    expect(existsSync(join(installed, 'plugins-cuda', 'build'))).toBe(false);
  });

  it('puts criu-cuda in PATH when it is installed globally, and nothing of setup', async () => {
    const prefix = join(dir, 'prefix');
    const global = await run('npm', ['install', '--global', '--prefix', prefix, `./${archive}`, ...quiet]);
    expect(global.exitCode, global.stderr).toBe(0);
    const PATH = [join(prefix, 'bin'), join(dir, 'bin')].join(delimiter);
    const criuCuda = (command: string): Promise<ExecResult> =>
      run('sh', ['-c', `cd / && criu-cuda ${command}`], { PATH });
    const { version } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect((await criuCuda('--version')).stdout).toContain(version);
    const { launcher } = JSON.parse((await criuCuda('setup --check --json')).stdout) as {
      launcher: string | null;
    };
    expect(launcher).toBeNull();
    const root = join(prefix, 'lib', 'node_modules', name, 'prebuilds');
    expect((await criuCuda('variants --json')).stdout).toContain(join(root, `linux-${process.arch}`));
  }, 120_000);

  it('can be imported', async () => {
    const script = `import ${names} from '${name}/gpu'; ${ask}`;
    const { stdout, stderr } = await run(process.execPath, ['--input-type=module', '-e', script], softcuda());
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual(expected());
  });

  it('can be required', async () => {
    const script = `const ${names} = require('${name}/gpu'); (async () => { ${ask} })();`;
    const { stdout, stderr } = await run(process.execPath, ['-e', script], softcuda());
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual(expected());
  });

  const options: Record<string, { file: string; type: string; flags: string[] }> = {
    // zod's types need esModuleInterop there
    node10: { file: 'use.ts', type: 'commonjs', flags: ['--module', 'commonjs', '--esModuleInterop'] },
    node16: { file: 'use.mts', type: 'commonjs', flags: ['--module', 'node16'] },
    nodenext: { file: 'use.cts', type: 'module', flags: ['--module', 'nodenext'] },
    bundler: { file: 'use.ts', type: 'module', flags: ['--module', 'esnext'] },
  };

  // at the same time: a compilation uses one processor, most of it for the types of others
  it.concurrent.each(Object.entries(options))(
    'has types under moduleResolution %s, and the compiled program runs',
    async (resolution, { file, type, flags }) => {
      const folder = join(dir, resolution);
      mkdirSync(folder);
      writeFileSync(join(folder, 'package.json'), JSON.stringify({ type }));
      const program = join(folder, file);
      writeFileSync(program, consumer);
      const examples = examplesOfPage().map((text, i) => {
        const example = join(folder, file.replace('use', `page-${i}`));
        writeFileSync(example, text);
        return example;
      });
      const tsc = join(projectRoot, 'node_modules', 'typescript', 'bin', 'tsc');
      const types = ['--types', 'node', '--typeRoots', join(projectRoot, 'node_modules', '@types')];
      const common = ['--strict', '--target', 'es2023', '--moduleResolution', resolution, ...types];
      const compiled = await run(process.execPath, [tsc, ...common, ...flags, program, ...examples]);
      expect(compiled.exitCode, compiled.stdout).toBe(0);
      const { stdout, stderr } = await run(process.execPath, ['--no-warnings', program.replace('ts', 'js')]);
      expect(stderr).toBe('');
      expect(JSON.parse(stdout)).toEqual({ refused: [true, true], devices: 1, same: true });
    },
    600_000, // minutes on a busy machine
  );

  it('loads ./gpu quickly, without zod, commander and koffi', async () => {
    const seen = join(dir, 'loaded');
    const hooks = `import { appendFileSync } from 'node:fs';
      export function load(url, context, next) {
        appendFileSync(${JSON.stringify(seen)}, url + '\\n');
        return next(url, context);
      }`;
    const dataUrl = (text: string): string => `data:text/javascript,${encodeURIComponent(text)}`;
    const register = `import { register } from 'node:module'; register(${JSON.stringify(dataUrl(hooks))});`;
    const use = `import '${name}/gpu';`;
    const loaded = await run(process.execPath, [
      ...['--no-warnings', '--import', dataUrl(register)],
      ...['--input-type=module', '-e', use],
    ]);
    expect(loaded.stderr).toBe('');
    const urls = readFileSync(seen, 'utf8');
    expect(urls).toContain(`${name}/dist/api/gpu.js`);
    expect(urls).not.toMatch(/node_modules\/(?!criu-cuda-toolkit\/dist\/)/);

    const timed = `const start = performance.now();
      await import('${name}/gpu');
      console.log(performance.now() - start);`;
    const times: number[] = [];
    // at most 40 on an idle machine; tests run on busy ones, too
    do {
      const { stdout } = await run(process.execPath, ['--input-type=module', '-e', timed]);
      times.push(Number(stdout));
    } while (Math.min(...times) >= 200 && times.length < 30);
    expect(Math.min(...times)).toBeLessThan(200);
  });

  it('runs its command line with the prebuilt artifacts', async () => {
    const program = join(dir, 'node_modules', '.bin', 'criu-cuda');
    const { variants } = JSON.parse((await run(program, ['variants', '--json'])).stdout) as {
      variants: { name: string; version?: string; path: string }[];
    };
    for (const { name: variant, version, path } of variants) {
      expect(version).toMatch(/^\d+\.\d+\.\d+$/);
      expect(path).toBe(join(shipped(), 'lib', variant, 'cuda_plugin.so'));
    }
    const state = await run(program, ['gpu', '--json'], softcuda());
    expect(JSON.parse(state.stdout)).toMatchObject({ gpus: [{ name: 'softcuda software device 0' }] });
  });
});

describe('the addon for arm64', () => {
  it('loads and answers under emulation', async (context) => {
    const addon = join(projectRoot, 'prebuilds', 'linux-arm64', 'criu_cuda.node');
    const fetched = join(projectRoot, 'tmp', 'node-arm64', 'package', 'bin', 'node');
    const node = process.env.CCR_NODE_ARM64 ?? fetched;
    if (!existsSync(addon)) context.skip('not built: npm run prebuilds, with g++-aarch64-linux-gnu');
    if (!existsSync(node)) context.skip(`no node for arm64 at ${node} (CCR_NODE_ARM64)`);
    const script = `
      const addon = require(process.argv[1]);
      addon.openDriver('/no/such').catch(({ kind, result }) => console.log(process.arch, kind, result));`;
    const words = ['-L', '/usr/aarch64-linux-gnu', node, '-e', script, addon];
    const { stdout, stderr } = await execResult('qemu-aarch64', words);
    expect(stdout, stderr).toBe('arm64 open 2');
  });
});
