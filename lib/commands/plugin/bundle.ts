// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import { createBundle } from '../../bundle/index.ts';
import { formatBytes, type Io } from '../../output.ts';
import { withProgress } from '../../progress.ts';

async function bundle(io: Io, out: string): Promise<void> {
  const result = await withProgress(io, 'creating the bundle', (report) =>
    createBundle({ out, onProgress: report, signal: io.signal }),
  );
  io.result(result, () =>
    [
      `written: ${result.file}, ${formatBytes(result.sizeBytes)}`,
      `needs Linux ${result.arch} with glibc ${result.glibc} or newer; unpack it anywhere, then`,
      `  ${result.folder}/bin/criu-cuda doctor`,
    ].join('\n'),
  );
}

export function defineBundle(command: Command, io: Io): void {
  command
    .requiredOption('--out <file.tar.xz>', 'the file to write')
    .action(({ out }: { out: string }) => bundle(io, out));
}
