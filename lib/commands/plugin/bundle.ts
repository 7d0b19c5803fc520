// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import { addExamples, addOutput } from '../../command-line/index.ts';
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
      `needs Linux ${result.arch} with glibc ${result.glibc} or newer; unpack it anywhere with tar -xf${result.file.endsWith('.xz') ? ', which needs xz there (a .tar.gz does not)' : ''}; then`,
      `  ${result.folder}/bin/criu-cuda doctor`,
    ].join('\n'),
  );
}

export function defineBundle(command: Command, io: Io): void {
  addExamples(command, 'criu-cuda bundle --output criu-cuda.tar.xz');
  addOutput(command, {
    value: 'file.tar.xz',
    description: 'the file to write; .tar.gz for machines without xz',
    isRequired: true,
  }).action(({ output }: { output: string }) => bundle(io, output));
}
