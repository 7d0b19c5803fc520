// SPDX-License-Identifier: MIT
/**
 * The shared libraries of a program, as the loader of this machine finds them.
 * @module
 */
import { EnvironmentError } from '../errors.ts';
import { exec } from '../exec.ts';

/** Parts of glibc and of the kernel: every machine must use its own. */
const ofTheSystem =
  /^(?:linux-vdso|linux-gate|ld-linux[^/]*|lib(?:c|m|dl|rt|pthread|resolv|util|nsl|anl|mvec))\.so/;

/** Parses the output of `ldd`. @throws `EnvironmentError` for a library that is not found */
export function parseLdd(program: string, text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const [, name = '', path] = /^\s*(\S+) => (\/\S+|not found)/.exec(line) ?? [];
    if (path === undefined || ofTheSystem.test(name)) return [];
    if (path !== 'not found') return [path];
    throw new EnvironmentError(`${program} needs ${name}, which is not installed`, [
      { what: name, remedy: 'install the package that contains it' },
    ]);
  });
}

/** The paths of the libraries that a program needs besides glibc. */
export async function sharedLibraries(program: string, signal?: AbortSignal): Promise<string[]> {
  const { stdout } = await exec('ldd', [program], signal === undefined ? {} : { signal });
  return parseLdd(program, stdout);
}
