// SPDX-License-Identifier: MIT
/** Copies of the built library that lack the addon, koffi or both, and which driver each entry point takes. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { projectRoot, softcudaLibrary } from '../../../lib/paths.ts';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-backends-'));
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** A copy of `dist` without an addon, with links to the installed packages but those left out. */
function copyWithout(name: string, isLeftOut: (packageName: string) => boolean): string {
  const root = join(dir, name);
  mkdirSync(join(root, 'node_modules'), { recursive: true });
  cpSync(join(projectRoot, 'dist'), join(root, 'dist'), { recursive: true });
  writeFileSync(join(root, 'package.json'), '{ "type": "module" }');
  for (const one of readdirSync(join(projectRoot, 'node_modules'))) {
    if (isLeftOut(one)) continue;
    symlinkSync(join(projectRoot, 'node_modules', one), join(root, 'node_modules', one));
  }
  return root;
}

/** Runs an ES module in which `gpu` and `host` are lib/gpu and lib/process of `root`. @returns what it prints, parsed */
async function run(root: string, body: string, env: Record<string, string> = {}): Promise<unknown> {
  const script = `
    const gpu = await import('${root}/dist/gpu/index.js');
    const host = await import('${root}/dist/process/index.js');
    const told = (error) => [error.code, error.message, ...(error.missing ?? []).map(({ what }) => what)];
    console.log(JSON.stringify(await (async () => { ${body} })()));`;
  const words = ['--input-type=module', '-e', script];
  const config = join(dir, 'cuda.conf');
  const { stdout, stderr } = await execResult(process.execPath, words, {
    env: { CRIU_CUDA_DRIVER: '', CRIU_CUDA_NATIVE: '', CRIU_CUDA_CONFIG: config, SOFTCUDA_DIR: dir, ...env },
  });
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

const ask = `
  const driver = await gpu.openDriver();
  const undo = host.becomeSubreaper();
  undo();
  const { gpus, library } = await gpu.listGpus();
  const memory = await host.readMemoryMap(process.pid);
  const { existsSync, readFileSync } = await import('node:fs');
  const loaded = /koffi\\.node|criu_cuda\\.node/.exec(readFileSync('/proc/self/maps', 'utf8'))?.[0];
  return [driver.path, library, gpus.length, memory.mappings > 0, loaded];`;

function answered(by: string): unknown[] {
  const driver = softcudaLibrary();
  return [driver, driver.replace('libcuda', 'libnvidia-ml'), 1, true, by];
}

describe('native code', () => {
  beforeAll(() => {
    writeFileSync(join(dir, 'cuda.conf'), `CRIU_CUDA_DRIVER = ${softcudaLibrary()}\n`);
  });

  it('is the addon where there is one', async () => {
    expect(await run(projectRoot, ask)).toEqual(answered('criu_cuda.node'));
  });

  it('is koffi without it', async () => {
    const root = copyWithout('no-addon', () => false);
    expect(await run(root, ask)).toEqual(answered('koffi.node'));
  });

  it('is not there without either, and both remedies are told', async () => {
    const root = copyWithout('neither', (name) => name === 'koffi');
    const body = `
      const called = await Promise.resolve().then(() => host.becomeSubreaper()).catch(told);
      return [await gpu.openDriver().catch(told), await gpu.listGpus().catch(told), called,
        await gpu.openDriver({ backend: 'koffi' }).catch(told)];`;
    const failures = (await run(root, body)) as string[][];
    for (const [code, message, ...missing] of failures.slice(0, 3)) {
      expect(code).toBe('ERR_ENVIRONMENT');
      expect(message).toMatch(
        /^no native code for linux-\w+ \(addon: No native build .*; koffi: Cannot find/,
      );
      expect(missing).toEqual(['criu_cuda.node', 'koffi']);
    }
    expect(failures[3]?.slice(2)).toEqual(['koffi']);
  });

  it('is not loaded, nor any package, by importing lib/gpu', async () => {
    const root = copyWithout('no-packages', () => true);
    expect(await run(root, 'return Object.keys(gpu).length > 5')).toBe(true);
  });
});

describe('the driver that is used', () => {
  const elsewhere = '/no/such/libcuda.so.1';
  const entryPoints = `
    const opened = await gpu.openDriver().then(({ path }) => path, told);
    const library = await gpu.listGpus().then((report) => report.library, told);
    const processes = await gpu.listGpuProcesses().then((list) => list.length, told);
    return [opened, library, processes];`;
  const nvml = (): string => softcudaLibrary().replace('libcuda', 'libnvidia-ml');

  it.each(['addon', 'koffi'])(
    'is the one of the environment, before that of the file (%s)',
    async (backend) => {
      writeFileSync(join(dir, 'cuda.conf'), `CRIU_CUDA_DRIVER = ${elsewhere}\n`);
      const env = { CRIU_CUDA_NATIVE: backend, CRIU_CUDA_DRIVER: softcudaLibrary() };
      expect(await run(projectRoot, entryPoints, env)).toEqual([softcudaLibrary(), nvml(), 0]);
    },
  );

  it.each(['addon', 'koffi'])('is the one of the settings file (%s)', async (backend) => {
    writeFileSync(join(dir, 'cuda.conf'), `CRIU_CUDA_DRIVER = ${softcudaLibrary()}\n`);
    expect(await run(projectRoot, entryPoints, { CRIU_CUDA_NATIVE: backend })).toEqual([
      softcudaLibrary(),
      nvml(),
      0,
    ]);
  });

  it('is the one the caller names, before all others', async () => {
    writeFileSync(join(dir, 'cuda.conf'), `CRIU_CUDA_DRIVER = ${elsewhere}\n`);
    const body = `
      const driver = '${softcudaLibrary()}';
      return [(await gpu.openDriver({ path: driver })).path, (await gpu.listGpus({ driver })).library];`;
    expect(await run(projectRoot, body, { CRIU_CUDA_DRIVER: elsewhere })).toEqual([
      softcudaLibrary(),
      nvml(),
    ]);
  });

  it('is named with its setting when it cannot be opened', async () => {
    writeFileSync(join(dir, 'cuda.conf'), `CRIU_CUDA_DRIVER = ${elsewhere}\n`);
    const body = 'return gpu.openDriver().catch((error) => [error.message, error.hint]);';
    for (const backend of ['addon', 'koffi']) {
      expect(await run(projectRoot, body, { CRIU_CUDA_NATIVE: backend })).toEqual([
        expect.stringContaining(
          `CRIU_CUDA_DRIVER "${elsewhere}" cannot be opened: ${elsewhere}: cannot open`,
        ),
        expect.stringContaining('set CRIU_CUDA_DRIVER to a libcuda.so.1, or unset it'),
      ]);
    }
  });

  it('is that of the settings for the command line, too', async () => {
    writeFileSync(join(dir, 'cuda.conf'), `CRIU_CUDA_DRIVER = ${softcudaLibrary()}\n`);
    const env = { CRIU_CUDA_CONFIG: join(dir, 'cuda.conf'), CRIU_CUDA_DRIVER: '', SOFTCUDA_DIR: dir };
    const cli = (...words: string[]) =>
      execResult(process.execPath, [join(projectRoot, 'dist', 'cli.js'), ...words, '--json'], { env });
    expect(JSON.parse((await cli('gpu')).stdout)).toMatchObject({ library: nvml() });
    // other tests of this machine may have processes on GPUs of their own
    expect(JSON.parse((await cli('process', 'list')).stdout)).toMatchObject({
      processes: expect.any(Array) as unknown[],
    });
    expect(JSON.parse((await cli('process', 'state', '--pid', String(process.pid))).stdout)).toMatchObject({
      error: { code: 'ERR_DRIVER_NOT_INITIALIZED' },
    });
  });
});
