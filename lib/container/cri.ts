// SPDX-License-Identifier: MIT
/**
 * Archives that Kubernetes' runtimes write (`crictl checkpoint`, the kubelet's checkpoint API): they are nearly what podman
 * writes, but belong to a pod.
 * @module
 */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../directory.ts';
import { execResult } from '../exec.ts';
import type { ArchivedConfig } from './archive.ts';
import { ContainerError } from './error.ts';
import { podmanProgram, PODMAN_TIMEOUT_MS } from './podman.ts';

/** What containerd and CRI-O write into every container of a pod. */
const marks = ['io.kubernetes.cri.container-type', 'io.kubernetes.cri-o.ContainerType'];

const specSchema = z.looseObject({
  annotations: z.record(z.string(), z.string()).nullish(),
  mounts: z.array(z.looseObject({ destination: z.string() })).default([]),
  linux: z.looseObject({
    namespaces: z.array(z.looseObject({ type: z.string(), path: z.string().optional() })).default([]),
  }),
});
const configSchema = z.looseObject({ rootfsImageName: z.string() });

/** Of the pod; podman makes its own. */
const podMounts = new Set([
  '/dev/shm',
  '/etc/hostname',
  '/etc/hosts',
  '/etc/resolv.conf',
  '/run/.containerenv',
]);

/**
 * What criu needs for such images: containerd's root directory has mode 755, podman's 555, and CRIU compares modes of open
 * directories.
 */
export const criOptions: readonly string[] = ['skip-file-rwx-check'];

/** Whether a runtime of Kubernetes has written the archive. */
export function isCriArchive({ spec }: ArchivedConfig): boolean {
  const parsed = specSchema.safeParse(spec);
  return parsed.success && marks.some((mark) => parsed.data.annotations?.[mark] !== undefined);
}

/**
 * The same container for podman: with runc, with an image of this machine, with namespaces of its own instead of the
 * pod's, and with podman's files instead of the pod's.
 * @param imageId of podman, for the image that the container was made from
 */
export function podmanArchive(archived: ArchivedConfig, imageId: string): ArchivedConfig {
  const spec = specSchema.parse(archived.spec);
  const config = configSchema.parse(archived.config);
  const { linux, mounts } = spec;
  return {
    ...archived,
    config: { ...config, runtime: 'runc', rootfsImageID: imageId },
    spec: {
      ...spec,
      mounts: mounts.filter(({ destination }) => !podMounts.has(destination)),
      linux: {
        ...linux,
        namespaces: linux.namespaces
          // podman cannot join the network of a pod
          .filter(({ type, path }) => type !== 'network' || path === undefined)
          .map(({ type }) => ({ type })),
      },
    },
  };
}

/** podman's id of the image that the container was made from. */
export async function imageOf(file: string, { config }: ArchivedConfig): Promise<string> {
  const name = configSchema.safeParse(config).data?.rootfsImageName ?? '';
  if (!/^[\w][\w.:/@-]*$/.test(name))
    throw new ContainerError('ERR_CONTAINER_IMPORT', `${file} does not say which image it was made from`);
  const words = ['image', 'inspect', '--format', '{{.Id}}', name];
  const { stdout, exitCode } = await execResult(podmanProgram(), words);
  if (exitCode === 0) return stdout.trim();
  throw new ContainerError('ERR_CONTAINER_IMPORT', `podman does not have the image ${name} of ${file}`, {
    hint: `podman pull ${name}, or: ctr --namespace k8s.io images export - ${name} | podman load`,
  });
}

/** An archive for podman in a temporary directory: a copy, because podman reads only files. */
export class ConvertedArchive {
  readonly file: string;
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
    this.file = join(dir, 'checkpoint.tar');
  }

  /** @throws {@link ContainerError} ERR_CONTAINER_IMPORT when it cannot be written */
  static async write(
    file: string,
    { config, spec }: ArchivedConfig,
    signal: AbortSignal | undefined,
  ): Promise<ConvertedArchive> {
    const converted = new ConvertedArchive(makeTemporaryDirectory('criu-cuda-import-'));
    try {
      const { file: copy } = converted;
      writeFileSync(join(converted.#dir, 'config.dump'), JSON.stringify(config));
      writeFileSync(join(converted.#dir, 'spec.dump'), JSON.stringify(spec));
      const options = { timeoutMs: PODMAN_TIMEOUT_MS, env: { LC_ALL: 'C' }, signal };
      // of two members with one name, the later one counts
      for (const [program, ...words] of [
        ['cp', '--reflink=auto', '--', resolve(file), copy],
        ['tar', '--append', '--file', copy, '--directory', converted.#dir, 'config.dump', 'spec.dump'],
      ] as const) {
        const { exitCode, stderr } = await execResult(program, words, options);
        if (exitCode === 0) continue;
        throw new ContainerError('ERR_CONTAINER_IMPORT', `cannot convert ${file}: ${stderr.trim()}`, {
          hint: `${converted.#dir} needs room for a copy, and TMPDIR chooses another place; a compressed file has to be unpacked first`,
        });
      }
      return converted;
    } catch (error) {
      converted.remove();
      throw error;
    }
  }

  remove(): void {
    removeTemporaryDirectory(this.#dir);
  }
}
