// SPDX-License-Identifier: MIT
/**
 * Which libcuda is meant, and what it means when it cannot be opened.
 * @module
 */
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { EnvironmentError } from '../errors.ts';
import { isNativeFailure } from '../native/index.ts';
import { softcudaLibrary, type Environment } from '../paths.ts';

const INSTALL_REMEDY = 'install the NVIDIA driver, 570 or newer, or set CRIU_CUDA_DRIVER';

/** What to do without a GPU: a clause to append; empty if softcuda is not there. */
export function softcudaRemedy(library: string = softcudaLibrary()): string {
  return existsSync(library) ? `; for the software driver set CRIU_CUDA_DRIVER to ${library}` : '';
}

/** What to do where no driver is found. */
export const driverRemedy = (): string => `${INSTALL_REMEDY}${softcudaRemedy()}`;

/**
 * The library to use: the one the caller names, else the one of the setting CRIU_CUDA_DRIVER, as the environment or the
 * settings file gives it. Empty: the usual search.
 */
export async function driverLibrary(
  named: string | undefined,
  env: Environment = process.env,
): Promise<string> {
  if (named !== undefined) return named;
  // it brings a parser along, which a program that names its driver does not need
  const { loadSettings } = await import('../settings/index.ts');
  return loadSettings(env).settings.CRIU_CUDA_DRIVER;
}

/**
 * The error for a driver that cannot be opened.
 * @param named what the caller named; `undefined`: `library` is from the settings
 */
export function openError(error: unknown, library: string, named: string | undefined): unknown {
  if (!isNativeFailure(error)) return error;
  const { message, result } = error;
  if (result !== constants.errno.ENOENT) {
    const what = `checkpoint calls of ${library === '' ? 'libcuda.so.1' : library}`;
    return new EnvironmentError(message, [{ what, remedy: INSTALL_REMEDY }]);
  }
  if (library === '') {
    return new EnvironmentError('no libcuda.so.1 found', [{ what: 'libcuda.so.1', remedy: driverRemedy() }]);
  }
  if (named === undefined) {
    const remedy = 'set CRIU_CUDA_DRIVER to a libcuda.so.1, or unset it';
    return new EnvironmentError(message, [{ what: library, remedy }]);
  }
  const remedy = 'pass the path of a libcuda.so.1, or none to use the one that CRIU_CUDA_DRIVER names';
  return new EnvironmentError(message.replace(/^CRIU_CUDA_DRIVER/, 'driver'), [{ what: library, remedy }]);
}
