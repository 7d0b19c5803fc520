// SPDX-License-Identifier: MIT
/** A build of the addon that fails says what is missing, and names nothing that is there. */
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-addon-'));
  mkdirSync(join(dir, 'bin'));
  mkdirSync(join(dir, 'scripts'));
  for (const name of ['addon.mjs', 'node-gyp.mjs']) {
    copyFileSync(join(projectRoot, 'scripts', name), join(dir, 'scripts', name));
  }
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

function program(name: string, body: string): string {
  const path = join(dir, 'bin', name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Builds with these programs on PATH, a node-gyp that fails with this text, and a Node with or without headers. */
function build(programs: readonly string[], text: string, hasHeaders: boolean): Promise<ExecResult> {
  for (const name of programs) program(name, 'exit 0');
  const gyp = program('gyp', `echo "${text}" >&2; exit 1`);
  const prefix = join(dir, hasHeaders ? 'with' : 'without');
  if (hasHeaders) {
    mkdirSync(join(prefix, 'include', 'node'), { recursive: true });
    writeFileSync(join(prefix, 'include', 'node', 'node_api.h'), '');
  }
  const script = `process.execPath = ${JSON.stringify(join(prefix, 'bin', 'node'))}; await import(${JSON.stringify(join(dir, 'scripts', 'addon.mjs'))})`;
  return execResult(process.execPath, ['--input-type=module', '--eval', script], {
    env: { PATH: join(dir, 'bin'), npm_config_node_gyp: gyp, CXX: undefined, PYTHON: undefined },
  });
}

const all = ['g++', 'make', 'python3'];
const offline = 'gyp ERR! stack Error: getaddrinfo EAI_AGAIN nodejs.org';

it("Node's headers are not a compiler", async () => {
  const { exitCode, stderr } = await build(all, offline, false);
  expect(exitCode).toBe(1);
  expect(stderr).toContain('include/node/node_api.h');
  expect(stderr).toContain('npm_config_nodedir');
  expect(stderr).not.toMatch(/C\+\+ compiler|make|python/);
});

it.for(all)('%s is named alone', async (absent) => {
  const { stderr } = await build(
    all.filter((name) => name !== absent),
    'gyp ERR! build error',
    true,
  );
  const said = stderr.slice(stderr.indexOf('missing:')).trim().split('\n');
  expect(said).toHaveLength(2);
  expect(said[1]).toContain(absent);
});

it('nothing is called missing when the sources do not compile', async () => {
  const { stderr } = await build(all, 'binding.cc:1: error: expected', true);
  expect(stderr).toContain('binding.cc:1: error: expected');
  expect(stderr).toContain('node-gyp says above why');
  expect(stderr).not.toContain('missing');
});
