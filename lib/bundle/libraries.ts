// SPDX-License-Identifier: MIT
/**
 * The shared libraries of a program, as the loader of this machine finds them.
 * @module
 */
import { EnvironmentError } from '../errors.ts';
import { exec } from '../exec.ts';

/** Parts of glibc and of the kernel: every machine has its own, and they do not mix. */
const ofTheSystem =
  /^(?:linux-vdso|linux-gate|ld-linux[^/]*|lib(?:c|m|dl|rt|pthread|resolv|util|nsl|anl|mvec))\.so/;

/** Parses what `ldd` prints. @throws `EnvironmentError` for a library that is not found */
export function parseLdd(program: string, text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const [, name = '', path] = /^\s*(\S+) => (\/\S+|not found)/.exec(line) ?? [];
    if (path === undefined || ofTheSystem.test(name)) return [];
    if (path !== 'not found') return [path];
    throw new EnvironmentError(`${program} needs ${name}, which is not here`, [
      { what: name, remedy: 'install the package that has it' },
    ]);
  });
}

/** The libraries a program needs beside glibc, as paths. */
export async function sharedLibraries(program: string, signal?: AbortSignal): Promise<string[]> {
  const { stdout } = await exec('ldd', [program], signal === undefined ? {} : { signal });
  return parseLdd(program, stdout);
}
