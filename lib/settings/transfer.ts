// SPDX-License-Identifier: MIT
/** The settings of the transfer engine that a benchmark varies. @module */
import type { SettingKey } from './table.ts';

/** How device memory is copied; what is absent comes from the settings file or the default. */
export interface TransferSettings {
  /** CRIU_CUDA_STREAMS: concurrent copies per device. */
  streams?: number | undefined;
  /** CRIU_CUDA_CHUNK_MB: size of one copy, MiB. */
  chunkMb?: number | undefined;
}

/** The variable of each setting. */
export const transferVariables = {
  streams: 'CRIU_CUDA_STREAMS',
  chunkMb: 'CRIU_CUDA_CHUNK_MB',
} as const satisfies Record<keyof TransferSettings, SettingKey>;

/** Those that are set, as variables for criu or the pool daemon. */
export function transferEnv(settings: TransferSettings): Record<string, string> {
  const names = Object.keys(transferVariables) as (keyof TransferSettings)[];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = settings[name];
      return value === undefined ? [] : [[transferVariables[name], String(value)]];
    }),
  );
}
