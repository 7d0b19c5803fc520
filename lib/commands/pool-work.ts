// SPDX-License-Identifier: MIT
import type { PoolUse } from '../context/index.ts';
import { formatBytes, table } from '../output.ts';

const orDash = (value: number | null): string => (value === null ? '–' : String(value));

/** The daemon's contexts and operations, one text for each table. */
export function workText({ streams, stagingBytes, contexts, operations }: PoolUse): string[] {
  const text: string[] = [];
  if (contexts.length > 0) {
    const rows = contexts.map(({ uuid, memoryBytes, overheadBytes }) => [
      uuid,
      formatBytes(memoryBytes),
      overheadBytes === null ? '–' : formatBytes(overheadBytes),
    ]);
    text.push(`${streams} streams, ${formatBytes(stagingBytes)} of staging buffers in host memory`);
    text.push(table(['contexts', 'memory', 'overhead'], rows));
  }
  if (operations.length > 0) {
    const rows = operations.map((one) => [
      orDash(one.operation),
      one.kind,
      one.state,
      orDash(one.pid),
      orDash(one.criuPid),
      `${formatBytes(one.doneBytes)} of ${formatBytes(one.totalBytes)}`,
    ]);
    text.push(table(['operation', 'kind', 'state', 'pid', 'criu', 'copied'], rows));
  }
  return text;
}
