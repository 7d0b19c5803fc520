// SPDX-License-Identifier: MIT
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { addExamples, addOperands, imagesDirOperand, withOptions } from '../command-line/index.ts';
import { formatBytes, type Io } from '../output.ts';
import { checkImage, isReference, type ImageCheck } from '../registry/index.ts';
import { checkRestore, type RestoreCheck, type RestoreProblem } from '../restore/index.ts';
import { addCacheOptions, registryOptions, type CacheFlags } from './image-registry.ts';
import { showWarnings } from './operation-options.ts';

interface Flags extends CacheFlags {
  imagesDir: string;
  variant?: string | undefined;
  libdir?: string | undefined;
  keepShared?: string[] | undefined;
}

const REFUSED = 2;

const addPath = (path: string, paths: string[] = []): string[] => [...paths, resolve(path)];

function problemText(io: Io, { texts, remedy }: RestoreProblem): string[] {
  const { red, dim } = io.colors;
  const remedies = remedy === undefined ? [] : remedy.split('\n').map((line) => `  ${dim('→')} ${line}`);
  return [...texts.map((text) => `${red('problem')}: ${text}`), ...remedies];
}

function resultText(io: Io, { imagesDir, canRestore, problems, bringsBack }: RestoreCheck): string {
  return [
    `${imagesDir} ${canRestore ? 'can' : 'cannot'} be restored here`,
    ...problems.flatMap((problem) => problemText(io, problem)),
    ...(bringsBack.length === 0 ? [] : [`a restore brings back: ${bringsBack.join(', ')}`]),
  ].join('\n');
}

function imageText(io: Io, { reference, canRestore, problems, missingBytes }: ImageCheck): string {
  return [
    `${reference} ${canRestore ? 'can' : 'cannot'} be restored here, as far as its description tells`,
    ...problems.flatMap(({ text, remedy }) => problemText(io, { code: '', texts: [text], remedy })),
    `a pull would move ${formatBytes(missingBytes)}`,
  ].join('\n');
}

/** Only the description is read. */
async function runImageCheck(io: Io, { imagesDir: ref, ...flags }: Flags): Promise<void> {
  const check = await checkImage(ref, registryOptions(flags, io));
  io.result(check, () => imageText(io, check));
  showWarnings(io, check.warnings);
  io.exitCode = check.canRestore ? 0 : REFUSED;
}

async function runCheck(io: Io, flags: Flags): Promise<void> {
  if (!existsSync(flags.imagesDir) && isReference(flags.imagesDir)) {
    await runImageCheck(io, flags);
    return;
  }
  const check = await checkRestore({ ...flags, signal: io.signal });
  io.result(check, () => resultText(io, check));
  showWarnings(io, check.warnings);
  io.exitCode = check.canRestore ? 0 : REFUSED;
}

export function defineImageCheck(command: Command, io: Io): void {
  command.description(
    'say whether a checkpoint can be restored on this machine, and everything that is in its way',
  );
  addOperands(command, [imagesDirOperand('images directory, or REGISTRY/REPOSITORY:TAG')]);
  addCacheOptions(command)
    .option('--variant <name>', 'variant of the plugin, from the build (default: what the images need)')
    .option('--libdir <dir>', 'directory of the plugin')
    .option(
      '--keep-shared <path>',
      'a file that the restore will leave as it is although it has changed; repeatable',
      addPath,
    )
    .action(withOptions((flags: Flags) => runCheck(io, flags)));
  addExamples(
    command,
    'criu-cuda image check /mnt/images',
    'criu-cuda image check registry.example.com/models/llama:warm',
  );
}
