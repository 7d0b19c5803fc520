// SPDX-License-Identifier: MIT
// Mutants of C files: each is built in a copy of plugins-cuda, and ctest should notice it.
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join, relative, sep } from 'node:path';
import { apply, mutationsOf, sample } from './c-mutations.mjs';
import { must, run } from './run.mjs';

/**
 * The tests of each directory of plugins-cuda, as ctest's -R; a directory without an entry has those with its name.
 */
const subjects = {
  common: 'settings|run_dir|protocol|vault|transfer|intercept|workload',
  image: 'image|transfer|fuzz',
  transfer: 'transfer|image',
  pool: 'intercept|pool',
  workloads: 'workload',
};

/** Tests that take longer with the original are left out: each mutant that survives would cost so much. Seconds. */
const SLOW_S = 10;
/** A mutant hangs when its tests take this many times longer than those of the original. */
const SLOWER = 10;
const LEAST_TIMEOUT_S = 20;
const BUILD_TIMEOUT_MS = 600_000;
const jobs = String(availableParallelism());

/** A copy of plugins-cuda with its own build. */
class Scratch {
  constructor(sourceDir) {
    this.dir = mkdtempSync(join(tmpdir(), 'criu-cuda-mutants-'));
    this.source = join(this.dir, 'plugins-cuda');
    this.build = join(this.dir, 'build');
    const filter = (path) => !relative(sourceDir, path).startsWith('build');
    cpSync(sourceDir, this.source, { recursive: true, filter });
    this.env = { TMPDIR: this.dir };
  }

  async configure() {
    const hasNinja =
      (await run('ninja', ['--version'], { timeoutMs: 10_000 }).catch(() => ({ code: 1 }))).code === 0;
    await must(
      'cmake',
      [
        ...['-S', this.source, '-B', this.build, ...(hasNinja ? ['-G', 'Ninja'] : [])],
        // without debug information, so that equal code is an equal object file
        ...['-DCCR_WERROR=OFF', '-DCMAKE_BUILD_TYPE=Debug', '-DCMAKE_C_FLAGS_DEBUG=-O1 -g0 -w'],
      ],
      { timeoutMs: BUILD_TIMEOUT_MS },
    );
  }

  #buildArgs() {
    return ['--build', this.build, '--parallel', jobs];
  }

  #ctest(timeoutS) {
    const stop = ['--stop-on-failure', '--timeout', String(timeoutS), '--no-tests=error'];
    const slow = this.slow.length === 0 ? [] : ['-E', `^(${this.slow.join('|')})$`];
    return ['--test-dir', this.build, '--output-on-failure', '-R', this.tests, ...slow, '-j', jobs, ...stop];
  }

  /** Builds and tests the original of a file, against which its mutants are judged. */
  async begin(file, tests) {
    await must('cmake', this.#buildArgs(), { timeoutMs: BUILD_TIMEOUT_MS });
    this.slow = [];
    this.tests = tests;
    const options = { timeoutMs: BUILD_TIMEOUT_MS, env: this.env, contained: true };
    const { output } = await must('ctest', this.#ctest(600), options);
    const times = [...output.matchAll(/Test +#\d+: (\S+) \.+ +Passed +([\d.]+) sec/g)];
    const isSlow = ([, , seconds]) => Number(seconds) > SLOW_S;
    // all of them if all are slow
    this.slow = times.every(isSlow) ? [] : times.filter(isSlow).map(([, name]) => name);
    if (this.slow.length > 0) console.error(`left out, for they are slow: ${this.slow.join(', ')}`);
    const start = performance.now();
    await must('ctest', this.#ctest(600), options);
    const seconds = (performance.now() - start) / 1000;
    this.file = file;
    this.timeoutS = Math.max(LEAST_TIMEOUT_S, Math.ceil(seconds * SLOWER));
    this.original = readFileSync(join(this.source, file), 'utf8');
    this.objects = this.#objects();
  }

  #objects() {
    const names = readdirSync(this.build, { recursive: true }).filter(
      (name) => basename(name) === `${basename(this.file)}.o`,
    );
    const hash = (name) =>
      createHash('sha256')
        .update(readFileSync(join(this.build, name)))
        .digest('hex');
    return names.map(hash).join();
  }

  /** @returns killed, survived, equivalent (the compiler sees no difference), or invalid (it does not compile) */
  async judge(mutation) {
    writeFileSync(join(this.source, this.file), apply(this.original, mutation));
    const built = await run('cmake', this.#buildArgs(), { timeoutMs: BUILD_TIMEOUT_MS });
    if (built.code !== 0) return 'invalid';
    if (this.#objects() === this.objects) return 'equivalent';
    const options = { timeoutMs: this.timeoutS * 4000, env: this.env, contained: true };
    const { code } = await run('ctest', this.#ctest(this.timeoutS), options);
    return code === 0 ? 'survived' : 'killed';
  }

  end() {
    writeFileSync(join(this.source, this.file), this.original);
  }

  remove() {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/**
 * Mutates C files.
 * @param sourceDir plugins-cuda @param files relative to it
 * @param options seed, max (mutants of each file), tests (ctest's -R instead of the usual), until (of
 * performance.now(): no mutant is started after it), report (called with each judged mutant)
 * @returns { judged, complete }: every mutant with its verdict, and whether there was time for all of them
 */
export async function mutateC(sourceDir, files, { seed, max, tests, until, report }) {
  const judged = [];
  const scratch = new Scratch(sourceDir);
  try {
    await scratch.configure();
    for (const file of files) {
      const folder = file.split(sep)[0];
      await scratch.begin(file, tests ?? subjects[folder] ?? folder);
      for (const mutation of sample(mutationsOf(scratch.original), max, seed)) {
        if (performance.now() > until) return { judged, complete: false };
        const verdict = await scratch.judge(mutation);
        const one = { file: join(basename(sourceDir), file), ...mutation, verdict };
        judged.push(one);
        report(one);
      }
      scratch.end();
    }
    return { judged, complete: true };
  } finally {
    scratch.remove();
  }
}
