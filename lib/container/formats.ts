// SPDX-License-Identifier: MIT
/**
 * What a container needs, in the words of engines that read no CDI file: flags of Docker and of containerd's ctr, a part
 * of runc's config.json, a manifest for Kubernetes.
 * @module
 */
import { z } from 'zod';
import { UsageError } from '../errors.ts';
import { softcudaLibrary, type Environment } from '../paths.ts';
import { loadSettings } from '../settings/index.ts';
import { editFlags, softcudaVariables, type ContainerEdits } from './edits.ts';

/** Formats of `criu-cuda cdi generate`. */
export const editFormats = ['cdi', 'docker', 'ctr', 'runc', 'pod'] as const;

/** For which engine the edits are written. */
export type EditFormat = (typeof editFormats)[number];

/** Words for a shell, on one line: safe to copy, and, without quotes in them, for `$(…)`. */
export function shellWords(words: readonly string[]): string {
  const quoted = words.map((word) =>
    /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`,
  );
  return quoted.join(' ');
}

/**
 * Flags of `docker run`.
 * @param more flags that do not depend on the edits: limits, a seccomp profile
 */
export function dockerFlags(edits: ContainerEdits, more: readonly string[] = []): string[] {
  return [...more, ...editFlags(edits)];
}

/** Flags of `ctr run`, as containerd 1.6 and later understand them. */
export function ctrFlags({ mounts, env }: ContainerEdits): string[] {
  return [
    ...mounts.flatMap(({ path, readOnly }) => [
      '--mount',
      `type=bind,src=${path},dst=${path},options=rbind:${readOnly ? 'ro' : 'rw'}`,
    ]),
    ...Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
  ];
}

/** A bind mount in a bundle's config.json. */
export interface RuncMount {
  /** In the container. */
  destination: string;
  /** Always `bind`. */
  type: string;
  /** On the host. */
  source: string;
  /** Of the mount, as `ro`. */
  options: string[];
}

/** The part of a bundle's config.json that a container needs. */
export interface RuncPart {
  /** A terminal cannot be dumped with the container; the variables are `NAME=value`. */
  process: { terminal: boolean; env: string[] };
  /** In addition to those of the bundle. */
  mounts: RuncMount[];
}

/** What a bundle's config.json has to have. */
export function runcPart({ mounts, env }: ContainerEdits): RuncPart {
  return {
    process: { terminal: false, env: Object.entries(env).map(([key, value]) => `${key}=${value}`) },
    mounts: mounts.map(({ path, readOnly }) => ({
      destination: path,
      type: 'bind',
      source: path,
      options: ['rbind', 'nosuid', 'nodev', readOnly ? 'ro' : 'rw'],
    })),
  };
}

const configSchema = z.looseObject({
  ociVersion: z.string(),
  process: z.looseObject({ env: z.array(z.string()).default([]) }),
  mounts: z.array(z.looseObject({ destination: z.string() })).default([]),
});

const nameOf = (variable: string): string => variable.split('=')[0] ?? '';

/**
 * A bundle's config.json with the part in it. What it has for the same variables and places is replaced, so that it can be
 * done again.
 * @throws {@link UsageError} if the text is something else
 */
export function addToRuncConfig(text: string, edits: ContainerEdits, path = 'config.json'): object {
  const part = runcPart(edits);
  const parsed = configSchema.safeParse(parseJson(text));
  if (!parsed.success)
    throw new UsageError(`${path} is not the config.json of a bundle`, 'runc spec --bundle DIR writes one');
  const config = parsed.data;
  const names = new Set(part.process.env.map(nameOf));
  const places = new Set(part.mounts.map(({ destination }) => destination));
  return {
    ...config,
    process: {
      ...config.process,
      terminal: false,
      env: [...config.process.env.filter((one) => !names.has(nameOf(one))), ...part.process.env],
    },
    mounts: [...config.mounts.filter(({ destination }) => !places.has(destination)), ...part.mounts],
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A list of a manifest, one entry a line; an empty one is written as such. */
function yamlList(name: string, indent: number, entries: readonly string[]): string[] {
  const space = ' '.repeat(indent);
  if (entries.length === 0) return [`${space}${name}: []`];
  return [`${space}${name}:`, ...entries.map((entry) => `${space}  - ${entry}`)];
}

/** A pod for Kubernetes whose container can be checkpointed. */
export function podManifest({ mounts, env }: ContainerEdits): string {
  // JSON strings are strings of YAML
  const text = JSON.stringify;
  const lines = [
    'apiVersion: v1',
    'kind: Pod',
    'metadata:',
    '  name: gpu-server',
    'spec:',
    '  containers:',
    '    - name: server',
    '      image: IMAGE',
    '      resources:',
    '        limits:',
    '          nvidia.com/gpu: 1',
    ...yamlList(
      'env',
      6,
      Object.entries(env).map(([key, value]) => `{ name: ${key}, value: ${text(value)} }`),
    ),
    ...yamlList(
      'volumeMounts',
      6,
      mounts.map(
        ({ path, readOnly }, index) =>
          `{ name: criu-cuda-${index}, mountPath: ${text(path)}, readOnly: ${readOnly} }`,
      ),
    ),
    ...yamlList(
      'volumes',
      2,
      mounts.map(
        ({ path }, index) =>
          `{ name: criu-cuda-${index}, hostPath: { path: ${text(path)}, type: Directory } }`,
      ),
    ),
  ];
  return `${lines.join('\n')}\n`;
}

/**
 * What the criu of another engine does not get: it has the environment of its daemon, and settings from
 * `/etc/criu/cuda.conf`, which does not have variables of the software driver.
 * @returns a warning, or `undefined`
 */
export function otherEnginesWarning(env: Environment = process.env): string | undefined {
  if (loadSettings(env).settings.CRIU_CUDA_DRIVER !== softcudaLibrary(env)) return undefined;
  const names = Object.keys(softcudaVariables(env));
  if (names.length === 0) return undefined;
  return `${names.join(', ')} is for programs in containers; criu gets it from criu-cuda container only: start dockerd, containerd, runc and podman with the same value`;
}
