// SPDX-License-Identifier: MIT
// `node --import ./scripts/typescript.mjs FILE.ts` runs TypeScript from its source, without a check of its types.
// What was compiled is kept: the compiler takes 200 MB, and is not loaded when no source has changed.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { register } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';

const here = fileURLToPath(import.meta.url);
const cacheDir = join(dirname(dirname(here)), 'node_modules', '.cache', 'typescript');

async function compile(text, fileName) {
  const { default: ts } = await import('typescript');
  const compilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    verbatimModuleSyntax: true,
    inlineSourceMap: true,
  };
  return ts.transpileModule(text, { compilerOptions, fileName }).outputText;
}

async function compileOnce(fileName) {
  const text = readFileSync(fileName, 'utf8');
  const hash = createHash('sha256').update(readFileSync(here)).update(`${fileName}\0${text}`).digest('hex');
  const path = join(cacheDir, `${hash}.js`);
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  const compiled = await compile(text, fileName);
  mkdirSync(cacheDir, { recursive: true });
  writeFileSync(`${path}.${process.pid}`, compiled);
  renameSync(`${path}.${process.pid}`, path);
  return compiled;
}

/** Node's hook, which runs in a thread of its own. */
export async function load(url, context, next) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context);
  return { format: 'module', source: await compileOnce(fileURLToPath(url)), shortCircuit: true };
}

if (isMainThread) register(import.meta.url);
