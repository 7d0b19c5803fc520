// SPDX-License-Identifier: MIT
/**
 * Chooses the way to native code: the addon where there is one, else koffi where it is installed.
 * @module
 */
import { EnvironmentError, UsageError } from '../errors.ts';
import { projectRoot, type Environment } from '../paths.ts';
import { addonBackend, loadAddon } from './addon.ts';
import { koffiBackend } from './koffi.ts';
import { loadKoffi } from './koffi-loader.ts';
import { backendNames, type Backend, type BackendName } from './types.ts';

const remedies: Record<BackendName, { what: string; remedy: string }> = {
  addon: {
    what: 'criu_cuda.node',
    remedy: `build it in ${projectRoot} with a C++ compiler, make, python3 and Node's headers: npm run build:addon`,
  },
  koffi: { what: 'koffi', remedy: 'npm install koffi' },
};

const loaders: Record<BackendName, () => Backend> = {
  addon: () => addonBackend(loadAddon()),
  koffi: () => koffiBackend(loadKoffi()),
};

/** What was loaded, or why it cannot be. */
const loaded = new Map<BackendName, Backend | Error>();

function load(name: BackendName): Backend | Error {
  const known = loaded.get(name);
  if (known) return known;
  let result: Backend | Error;
  try {
    result = loaders[name]();
  } catch (error) {
    result = error instanceof Error ? error : new Error(String(error));
  }
  loaded.set(name, result);
  return result;
}

/** The names to try in order. */
function candidates(named: string, origin: string): readonly BackendName[] {
  if (named === '') return backendNames;
  const known = backendNames.find((one) => one === named);
  if (known !== undefined) return [known];
  throw new UsageError(`${origin} is "${named.slice(0, 80)}"; accepted: ${backendNames.join(', ')}`);
}

/**
 * The backend to use. It is loaded at the first call and stays loaded.
 * @param name forces one; else the environment variable CRIU_CUDA_NATIVE does
 * @throws {@link EnvironmentError} when it cannot be loaded, or none can; `UsageError` for an unknown name
 */
export function nativeBackend(name?: BackendName, env: Environment = process.env): Backend {
  const names =
    name === undefined
      ? candidates(env.CRIU_CUDA_NATIVE ?? '', 'CRIU_CUDA_NATIVE')
      : candidates(name, 'backend');
  const reasons: string[] = [];
  for (const one of names) {
    const backend = load(one);
    if (!(backend instanceof Error)) return backend;
    reasons.push(`${one}: ${backend.message.split('\n')[0] ?? ''}`);
  }
  throw new EnvironmentError(
    `no native code for ${process.platform}-${process.arch} (${reasons.join('; ')})`,
    names.map((one) => remedies[one]),
  );
}
