// SPDX-License-Identifier: MIT
/** The list of driver calls that the interceptor must know, the headers it comes from, and the wrappers it needs. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exec, execResult } from '../../../lib/exec.ts';
import { pluginSourceDir, projectRoot } from '../../../lib/paths.ts';

const script = join(projectRoot, 'scripts', 'cuda-calls.mjs');
const listFile = join(pluginSourceDir, 'intercept/core/cuda_calls_list.h');

type Row = [name: string, kind: string, argument: number, since: number];

const text = readFileSync(listFile, 'utf8');
const rows = [...text.matchAll(/C\((\w+), (\w+), (\d+), (\d+)\)/g)].map(
  ([, name = '', kind = '', argument, since]): Row => [name, kind, Number(argument), Number(since)],
);

describe('the list of calls', () => {
  it('has the calls of all CUDA versions', { timeout: 120_000 }, async (context) => {
    const { exitCode, stderr } = await execResult(process.execPath, [script, '--offline']);
    if (exitCode === 77) context.skip(stderr.trim());
    expect(stderr).toBe('');
    expect(exitCode).toBe(0);
  });

  it('names only calls with a wrapper, except those that never get what the interceptor manages', () => {
    const read = (path: string) => readFileSync(join(pluginSourceDir, 'intercept', path), 'utf8');
    const wrapped = new Set(
      [...read('core/wrap_list.h').matchAll(/W\((cu\w+),/g)].map(([, name]) => name ?? ''),
    );
    const stubs = new Set(
      [...read('gate/hook_list.h').matchAll(/H\((cu\w+),/g)].map(([, name]) => name ?? ''),
    );
    const exempt = new Set([
      // they take or return handles of multicast objects
      ...['cuMulticastCreate', 'cuMulticastAddDevice', 'cuMulticastUnbind'],
      // of a pool, whose memory the driver keeps
      'cuMemPoolExportPointer',
    ]);
    const names = [...new Set(rows.map(([name]) => name))];
    expect(names.length).toBeGreaterThan(30);
    expect(names.filter((name) => !wrapped.has(name) && !exempt.has(name))).toEqual([]);
    expect(names.filter((name) => !stubs.has(name))).toEqual([]);
  });

  it('goes as far as the versions that the interceptor takes for known', () => {
    const source = readFileSync(join(pluginSourceDir, 'intercept/entry/proc_address.c'), 'utf8');
    for (const major of [12, 13]) {
      const versions = [...text.matchAll(new RegExp(`\\b${major}\\.(\\d+)[,.]`, 'g'))];
      const last = Math.max(...versions.map(([, minor]) => Number(minor)));
      expect(source).toContain(`{${major}, ${last}}`);
    }
  });

  it('knows the calls of CUDA 13.1 and 13.3', () => {
    expect(rows).toContainEqual(['cuMulticastBindMem_v2', 'HANDLE', 4, 13010]);
    expect(rows).toContainEqual(['cuMulticastBindAddr_v2', 'RANGE', 4, 13010]);
    expect(rows).toContainEqual(['cuLogicalEndpointBindMem', 'HANDLE', 4, 13030]);
    expect(rows).toContainEqual(['cuMemGetHandleForAddressRange', 'RANGE', 2, 12080]);
  });
});

it('what a call does is read from its declaration', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'criu-cuda-calls-'));
  const header = join(dir, 'cuda.h');
  writeFileSync(
    header,
    `typedef int CUresult;
#ifdef __CUDA_API_VERSION_INTERNAL
CUresult cuOldMap(CUmemGenericAllocationHandle handle);
#endif
CUresult cuNew(CUmemGenericAllocationHandle *out,
    size_t size, CUmemGenericAllocationHandle in);
extern CUresult cuThingBindAddr_v7(int a, void *handle, CUdeviceptr at); static inline CUresult cuInline(int a) { return a; }
CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes);
CUresult cuStreamEndCapture_v5(CUstream stream);
`,
  );
  try {
    const { stdout } = await exec(process.execPath, [script, '--header', header]);
    expect((JSON.parse(stdout) as Row[]).sort()).toEqual([
      ['cuNew', 'GIVES', 1],
      ['cuNew', 'HANDLE', 3],
      ['cuOldMap', 'HANDLE', 1],
      ['cuStreamEndCapture_v5', 'CAPTURE', 1],
      ['cuThingBindAddr_v7', 'RANGE', 3],
    ]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
