// SPDX-License-Identifier: MIT
/** The settings of the transfer engine that a benchmark tries. @module */
import type { SettingKey } from './table.ts';

/** How device memory is moved; what is missing is left to the settings file and the default. */
export interface TransferSettings {
  /** CRIU_CUDA_STREAMS: copies at a time for each device. */
  streams?: number | undefined;
  /** CRIU_CUDA_CHUNK_MB: MiB of one copy. */
  chunkMb?: number | undefined;
}

/** The variable of each. */
export const transferVariables = {
  streams: 'CRIU_CUDA_STREAMS',
  chunkMb: 'CRIU_CUDA_CHUNK_MB',
} as const satisfies Record<keyof TransferSettings, SettingKey>;

/** What is set of them, for the environment of criu or of the pool daemon. */
export function transferEnv(settings: TransferSettings): Record<string, string> {
  const names = Object.keys(transferVariables) as (keyof TransferSettings)[];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = settings[name];
      return value === undefined ? [] : [[transferVariables[name], String(value)]];
    }),
  );
}
