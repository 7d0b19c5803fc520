// SPDX-License-Identifier: MIT
/**
 * The settings as one table; the C code has the same one in plugins-cuda/common/settings/settings_list.h, and a test
 * compares them.
 * @module
 */
import { defaultRunDir } from '../paths.ts';

interface Common {
  /** One line for people. */
  meaning: string;
  /** As written in the file; empty for none. */
  default: string;
}

/** What a setting means, and what it accepts. */
export type SettingDefinition = Common &
  (
    | {
        /** A whole number. */
        type: 'number';
        /** The smallest. */
        min: number;
        /** The largest. */
        max: number;
      }
    | {
        /** One of the words. */
        type: 'choice';
        /** What is accepted. */
        words: readonly string[];
      }
    | {
        /** Any of the words joined by commas, or `off`. */
        type: 'flags';
        /** What is accepted. */
        words: readonly string[];
      }
    | {
        /** Any text. */
        type: 'text';
        /** Its greatest length. */
        maxBytes: number;
        /** Whether it has to begin with `/`. */
        absolutePath?: true | undefined;
      }
  );

const PATH_BYTES = 4095;

export const settingDefinitions = {
  CRIU_CUDA_PARALLEL_RESTORE: {
    type: 'number',
    default: '1',
    min: 0,
    max: 1,
    meaning: "GPU memory bypasses CRIU's pages (variants parallel and full, needs the interceptor)",
  },
  CRIU_CUDA_STREAMS: {
    type: 'number',
    default: '8',
    min: 1,
    max: 32,
    meaning: 'transfer threads, each with its own stream and two staging buffers',
  },
  CRIU_CUDA_CHUNK_MB: {
    type: 'number',
    default: '4',
    min: 1,
    max: 512,
    meaning: 'size of a staging chunk, MiB',
  },
  CRIU_CUDA_CONTEXT_POOL: {
    type: 'number',
    default: '1',
    min: 0,
    max: 1,
    meaning: 'use the pool daemon when it runs; 0 starts a helper per operation (variant full)',
  },
  CRIU_CUDA_HOLD: {
    type: 'number',
    default: '0',
    min: 0,
    max: 1,
    meaning: 'after a dump the pool daemon keeps the device memory for the next restore (variant full)',
  },
  CRIU_CUDA_POOL_BUDGET_MB: {
    type: 'number',
    default: '0',
    min: 0,
    max: 16_777_216,
    meaning: 'device memory per GPU that the pool daemon may use for images, MiB; 0: no limit',
  },
  CRIU_CUDA_REMAP: {
    type: 'number',
    default: '1',
    min: 0,
    max: 1,
    meaning: "keep large host memory out of CRIU's images (variants remap, parallel and full)",
  },
  CRIU_CUDA_REMAP_MIN_MB: {
    type: 'number',
    default: '1',
    min: 1,
    max: 1_048_576,
    meaning: 'least data in a mapping that is remapped, MiB',
  },
  CRIU_CUDA_READAHEAD: {
    type: 'number',
    default: '1',
    min: 0,
    max: 1,
    meaning: 'read page files ahead of a restore from a disk',
  },
  CRIU_CUDA_LATE_MEMORY: {
    type: 'number',
    default: '1',
    min: 0,
    max: 1,
    meaning: 'also fill host memory while the driver restores the process',
  },
  CRIU_CUDA_INTERCEPT: {
    type: 'flags',
    default: 'memory,memcpy',
    words: ['memory', 'memcpy'],
    meaning: 'what the interceptor does',
  },
  CRIU_CUDA_INTERCEPT_DEBUG: {
    type: 'number',
    default: '0',
    min: 0,
    max: 4,
    meaning: "the interceptor's log level",
  },
  CRIU_CUDA_MEMCPY_MIN_MB: {
    type: 'number',
    default: '16',
    min: 1,
    max: 1_048_576,
    meaning: 'smallest copy between pageable host memory and a device that the interceptor handles, MiB',
  },
  CRIU_CUDA_LOCK_TIMEOUT_MS: {
    type: 'number',
    default: '10000',
    min: 1,
    max: 3_600_000,
    meaning: 'how long to wait for GPU work in progress, milliseconds',
  },
  CRIU_CUDA_STEP_TIMEOUT_MS: {
    type: 'number',
    default: '600000',
    min: 100,
    max: 86_400_000,
    meaning: 'how long one step of a dump or restore may take before it counts as hung, milliseconds',
  },
  CRIU_CUDA_COPY_TIMEOUT_MS: {
    type: 'number',
    default: '3600000',
    min: 100,
    max: 86_400_000,
    meaning: 'how long the pool may take to copy the device memory of a process, milliseconds',
  },
  CRIU_CUDA_UNDO_TIMEOUT_MS: {
    type: 'number',
    default: '60000',
    min: 100,
    max: 86_400_000,
    meaning: 'how long to keep trying to return a process to the state before the dump, milliseconds',
  },
  CRIU_CUDA_STORAGE: {
    type: 'choice',
    default: 'auto',
    words: ['auto', 'driver', 'off'],
    meaning:
      'whether the driver (615 or newer) hands memory over: what no interceptor moves, all of it, or none',
  },
  CRIU_CUDA_STORAGE_STREAMS: {
    type: 'number',
    default: '4',
    min: 1,
    max: 32,
    meaning: 'copying threads for memory that the driver hands over',
  },
  CRIU_CUDA_STORAGE_CHUNK_MB: {
    type: 'number',
    default: '32',
    min: 1,
    max: 512,
    meaning: 'staging chunk for such memory, MiB',
  },
  CRIU_CUDA_HANDOVER: {
    type: 'choice',
    default: 'auto',
    words: ['auto', 'adopt', 'map'],
    meaning: "whether a restored process copies the pool's memory (adopt) or keeps it mapped (map)",
  },
  CRIU_CUDA_VERIFY: {
    type: 'number',
    default: '1',
    min: 0,
    max: 1,
    meaning: 'verify chunk checksums on load',
  },
  CRIU_CUDA_WAIT: {
    type: 'number',
    default: '1',
    min: 0,
    max: 1,
    meaning:
      'criu ends a restore only when the device memory is loaded, so that a damaged image makes it fail',
  },
  CRIU_CUDA_FORCE: {
    type: 'number',
    default: '0',
    min: 0,
    max: 1,
    meaning: 'dump although a check guesses that it cannot be restored (criu-cuda check)',
  },
  CRIU_CUDA_DEVICE_MAP: {
    type: 'text',
    default: '',
    maxBytes: 4095,
    meaning: 'restore on other GPUs: old UUID=new UUID,…',
  },
  CRIU_CUDA_IO: {
    type: 'choice',
    default: 'auto',
    words: ['auto', 'pread', 'direct', 'mmap'],
    meaning: 'how GPU images are read and written',
  },
  CRIU_CUDA_SYNC: {
    type: 'choice',
    default: 'auto',
    words: ['auto', '0', '1'],
    meaning: 'fsync GPU images and page files before they count as saved; auto: unless they are in memory',
  },
  CRIU_CUDA_PREV_IMAGES_DIR: {
    type: 'text',
    default: '',
    maxBytes: PATH_BYTES,
    absolutePath: true,
    meaning:
      'directory of an earlier checkpoint of the process: GPU memory that is in it is not written again',
  },
  CRIU_CUDA_DEVICE_SCAN: {
    type: 'choice',
    default: 'auto',
    words: ['auto', 'on', 'off'],
    meaning: 'find zeroes on the GPU before a dump copies memory; auto: where there are many',
  },
  CRIU_CUDA_DRIVER: {
    type: 'text',
    default: '',
    maxBytes: PATH_BYTES,
    meaning: 'the CUDA driver library; empty: libcuda.so.1, then the known driver roots',
  },
  CRIU_CUDA_RUN_DIR: {
    type: 'text',
    default: defaultRunDir,
    maxBytes: PATH_BYTES,
    absolutePath: true,
    meaning: 'directory of status files and sockets, mode 0700',
  },
} as const satisfies Record<string, SettingDefinition>;

/** The name of a setting. */
export type SettingKey = keyof typeof settingDefinitions;

/** Every key, in the order of the table. */
export const settingKeys = Object.keys(settingDefinitions) as readonly SettingKey[];

export function isSettingKey(name: string): name is SettingKey {
  return Object.hasOwn(settingDefinitions, name);
}

/** The definition of one key, as the general type. */
export function definitionOf(key: SettingKey): SettingDefinition {
  return settingDefinitions[key];
}

/** What a value may be, for messages and for the settings file. */
export function acceptedText(definition: SettingDefinition): string {
  switch (definition.type) {
    case 'number':
      return `${definition.min}-${definition.max}`;
    case 'choice':
      return definition.words.join('|');
    case 'flags':
      return `off, or any of ${definition.words.join('|')} joined by commas`;
    case 'text':
      return definition.absolutePath ? 'an absolute path' : `at most ${definition.maxBytes} characters`;
  }
}
