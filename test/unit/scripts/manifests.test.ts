// SPDX-License-Identifier: MIT
/** The Kubernetes manifests: valid by the published schemas, and with no more privileges than they say. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';

/** The first call installs the schemas. */
const TIMEOUT_MS = 300_000;
const examples = join(projectRoot, 'examples', 'kubernetes');
const names = readdirSync(examples).filter((name) => name.endsWith('.yaml'));
const text = (name: string): string => readFileSync(join(examples, name), 'utf8');

const validate = (...files: string[]): Promise<ExecResult> =>
  execResult(process.execPath, [join(projectRoot, 'scripts', 'manifests.mjs'), ...files], {
    timeoutMs: TIMEOUT_MS,
  });

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-manifests-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

describe('scripts/manifests.mjs', () => {
  it(
    'accepts the examples',
    async () => {
      const { exitCode, stderr } = await validate(...names.map((name) => join(examples, name)));
      expect([exitCode, stderr.replace(/^installing .*\n?/, '')]).toEqual([0, '']);
    },
    TIMEOUT_MS,
  );

  it.each([
    ['a field that the schema does not have', 'hostPID: true', 'hostPid: true', /hostPid/],
    ['a value of another type', 'hostPID: true', 'hostPID: 1', /1 is not of type 'boolean'/],
    ['what is missing', 'selector:', 'selektor:', /selector/],
  ])(
    'refuses %s',
    async (_, right, wrong, message) => {
      const path = join(dir, 'pool.yaml');
      expect(text('pool.yaml')).toContain(right);
      writeFileSync(path, text('pool.yaml').replace(right, wrong));
      const { exitCode, stderr } = await validate(path);
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(message);
    },
    TIMEOUT_MS,
  );
});

describe('the examples', () => {
  it('give only the pool and a pod that restores privileges, and only the pool the run directory', () => {
    const having = (pattern: RegExp): string[] => names.filter((name) => pattern.test(text(name)));
    expect(having(/privileged: true/)).toEqual(['pool.yaml', 'restore.yaml']);
    expect(having(/hostPID: true/)).toEqual(['pool.yaml']);
    expect(having(/\/run\/criu-cuda/)).toEqual(['pool.yaml']);
  });

  it('mount no token of the API server where none is needed', () => {
    for (const name of ['pool.yaml', 'restore.yaml', 'server.yaml'])
      expect(text(name)).toContain('automountServiceAccountToken: false');
  });

  it('allow one call of the kubelet, and no other', () => {
    const role = text('checkpoint-role.yaml');
    expect([...role.matchAll(/resources: (.*)/g)].map(([, list]) => list)).toEqual(['[nodes/checkpoint]']);
    expect([...role.matchAll(/verbs: (.*)/g)].map(([, list]) => list)).toEqual(['[create]']);
  });
});
