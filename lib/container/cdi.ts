// SPDX-License-Identifier: MIT
/**
 * A file of the Container Device Interface (CDI 0.5): engines that support it give a container what it needs with one
 * flag, in addition to NVIDIA's own device.
 * @module
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { UsageError } from '../errors.ts';
import type { ContainerEdits } from './edits.ts';
import { makeDirectory } from '../directory.ts';
import { checkPath } from '../check.ts';

const kind = 'criu-cuda/checkpoint';

/** The device for podman: `--device criu-cuda/checkpoint=all`. */
export const cdiDeviceName = `${kind}=all`;

/** A path that engines read and root may write. */
export const cdiFile = '/etc/cdi/criu-cuda.json';

/** A specification of the Container Device Interface. */
export interface CdiSpec {
  /** Version of the interface. */
  cdiVersion: string;
  /** Vendor and class of the devices. */
  kind: string;
  /** The devices of the file. */
  devices: {
    /** Name of the device. */
    name: string;
    /** What a container gets with the device. */
    containerEdits: {
      /** `NAME=value`. */
      env: string[];
      /** Bind mounts. */
      mounts: {
        /** On the host. */
        hostPath: string;
        /** In the container. */
        containerPath: string;
        /** Of the mount, as `ro`. */
        options: string[];
      }[];
    };
  }[];
}

/** A CDI specification with the mounts and variables of containerEdits; see {@link writeCdi}. */
export function cdiSpec({ mounts, env }: ContainerEdits): CdiSpec {
  return {
    cdiVersion: '0.5.0',
    kind,
    devices: [
      {
        name: 'all',
        containerEdits: {
          env: Object.entries(env).map(([key, value]) => `${key}=${value}`),
          mounts: mounts.map(({ path, readOnly }) => ({
            hostPath: path,
            containerPath: path,
            options: ['bind', 'nosuid', 'nodev', readOnly ? 'ro' : 'rw'],
          })),
        },
      },
    ],
  };
}

/** Writes the file atomically. @throws {@link UsageError} when this program did not write the existing file */
export function writeCdi(path: string, spec: CdiSpec): void {
  checkPath('path', path);
  if (existsSync(path) && !readFileSync(path, 'utf8').includes(`"${kind}"`))
    throw new UsageError(`${path} was not written by criu-cuda`, 'name another file with --output');
  makeDirectory(dirname(path));
  writeFileSync(`${path}.tmp`, `${JSON.stringify(spec, null, 2)}\n`);
  renameSync(`${path}.tmp`, path);
}
