// SPDX-License-Identifier: MIT
/**
 * What a container needs besides its image so that its GPU memory can be moved, for both podman's flags and a CDI
 * file.
 * @module
 */
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { loadSettings, settingKeys } from '../settings/index.ts';
import { EnvironmentError } from '../errors.ts';
import { isSoftwareDriver } from '../gpu/index.ts';
import type { Environment } from '../paths.ts';
import { programInterceptor } from '../install/index.ts';
import { preloadProblem } from '../run/index.ts';
import { makeDirectory } from '../directory.ts';

/** A directory that has the same path in the container and outside. */
export interface ContainerMount {
  /** The same on the host and in the container. */
  path: string;
  /** Whether the container may not write there. */
  readOnly: boolean;
}

/** What a container needs so that it can be checkpointed. */
export interface ContainerEdits {
  /** Bind mounts. */
  mounts: ContainerMount[];
  /** Environment variables. */
  env: Record<string, string>;
}

/** Where the software driver keeps its devices by default. */
const softcudaDir = (env: Environment): string =>
  env.SOFTCUDA_DIR ?? `/dev/shm/softcuda-${process.geteuid?.() ?? 0}`;

/** Variables of the software driver. */
export function softcudaVariables(env: Environment = process.env): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([key, value]) =>
      key.startsWith('SOFTCUDA_') && value !== undefined ? [[key, value]] : [],
    ),
  );
}

/** Settings from the environment, which podman does not pass on by itself. */
export function settingVariables(env: Environment = process.env): Record<string, string> {
  return Object.fromEntries(
    settingKeys.flatMap((key) => {
      const value = env[key];
      return value === undefined || value === '' ? [] : [[key, value]];
    }),
  );
}

function softwareDriver(library: string, env: Environment): ContainerEdits {
  const devices = softcudaDir(env);
  makeDirectory(devices, 0o700);
  return {
    mounts: [
      { path: dirname(library), readOnly: true },
      { path: devices, readOnly: false },
    ],
    env: { CRIU_CUDA_DRIVER: library, ...softcudaVariables(env) },
  };
}

function interceptor(env: Environment): ContainerEdits {
  const library = programInterceptor(env);
  if (!existsSync(library)) {
    throw new EnvironmentError('the interceptor is not built', [
      { what: library, remedy: 'criu-cuda build' },
    ]);
  }
  const problem = preloadProblem(library);
  if (problem !== undefined)
    throw new EnvironmentError(problem, [
      { what: 'an interceptor that can be preloaded', remedy: 'criu-cuda install' },
    ]);
  return { mounts: [{ path: dirname(library), readOnly: true }], env: { LD_PRELOAD: library } };
}

/**
 * Mounts and variables that a container needs to be checkpointed. Nothing of the host is in it but directories of
 * libraries, read-only; the software driver, for tests, also has its devices there.
 * @param intercept whether the application gets the interceptor, which variants `parallel` and `full` need
 */
export function containerEdits(intercept: boolean, env: Environment = process.env): ContainerEdits {
  const { settings } = loadSettings(env);
  const parts: ContainerEdits[] = [
    { mounts: [], env: settingVariables(env) },
    ...(isSoftwareDriver(settings.CRIU_CUDA_DRIVER) ? [softwareDriver(settings.CRIU_CUDA_DRIVER, env)] : []),
    ...(intercept ? [interceptor(env)] : []),
  ];
  return {
    mounts: parts.flatMap((part) => part.mounts),
    env: Object.assign({}, ...parts.map((part) => part.env)) as Record<string, string>,
  };
}

/** The edits as flags of podman, for engines without CDI. */
export function editFlags({ mounts, env }: ContainerEdits): string[] {
  return [
    ...mounts.flatMap(({ path, readOnly }) => ['--volume', `${path}:${path}${readOnly ? ':ro' : ''}`]),
    ...Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
  ];
}
