// SPDX-License-Identifier: MIT
/** Options that `checkpoint` and `restore` share. */
import { InvalidArgumentError, type Command } from 'commander';
import type { Rest } from '../command-line/index.ts';
import {
  criuFlagNames,
  criuFlags,
  flagWord,
  memoryText,
  pickCriuFlags,
  type CriuFlag,
  type CriuFlags,
  type OperationOptions,
  type Phase,
  type TaskMemory,
  type UsedPlugin,
} from '../criu/index.ts';
import { programStartMs } from '../clock.ts';
import { formatDuration, table, type Io } from '../output.ts';

export interface CommonFlags extends CriuFlags {
  imagesDir: string;
  criuOptions: string[];
  workDir?: string | undefined;
  variant?: string | undefined;
  libdir?: string | undefined;
  verbosity?: number | undefined;
  trace?: string | undefined;
}

/** Parses an option that is a whole number from `min` to `max`. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`accepted: a whole number, ${min} to ${max}`);
  };
}

/** The kernel's own limit of pid_max on 64 bits. */
export const parsePid = wholeNumber(1, 4_194_304);

/** Adds an option for each of these flags of criu. */
export function addCriuFlags(command: Command, names: readonly CriuFlag[]): Command {
  for (const name of names) command.option(flagWord(name), criuFlags[name]);
  return command;
}

/** What follows `--`. */
export const criuOptions: Rest = {
  name: 'criu-options',
  description: 'options passed to criu unchanged',
  hint: 'options of criu follow --',
};

/** Adds the shared options. */
export function addOperationOptions(command: Command): Command {
  command
    .option('--work-dir <dir>', 'directory for logs and statistics (default: the images directory)')
    .option(
      '--variant <name>',
      'variant of the plugin, from the build (default: full; at a restore, what the images need)',
    )
    .option('--libdir <dir>', 'directory of the plugin');
  return addCriuFlags(command, criuFlagNames)
    .option('--no-shell-job', 'never pass --shell-job')
    .option('--verbosity <level>', "CRIU's log level, 0 to 4 (default: 3)", wholeNumber(0, 4))
    .option('--trace <file>', 'write a timeline of the operation that Perfetto opens');
}

/** The library's options for what was given on the command line. */
export function toOperationOptions(flags: CommonFlags, io: Io): OperationOptions {
  const { imagesDir, criuOptions: extraArgs, workDir, variant, libdir, verbosity, trace } = flags;
  return {
    imagesDir,
    extraArgs,
    signal: io.signal,
    workDir,
    variant,
    libdir,
    verbosity,
    trace: trace === undefined ? undefined : { file: trace, programStartMs: programStartMs() },
    ...pickCriuFlags(flags),
  };
}

/** The phases and the total, with their durations. */
export function phaseTable(
  phases: readonly (Omit<Phase, 'part'> & { part: string })[],
  durationMs: number,
): string {
  const rows = phases.map(({ part, name, durationMs: ms }) => [`  ${part}: ${name}`, formatDuration(ms)]);
  return table([], [...rows, ['  total', formatDuration(durationMs)]], { align: ['left', 'right'] });
}

/** Which plugin criu loaded, and what the memory of each process went through. */
export function pluginText({
  plugin,
  memory,
}: {
  plugin: UsedPlugin;
  memory: readonly TaskMemory[];
}): string {
  const { path, variant, version } = plugin;
  const what = variant === undefined ? 'not of this project' : `${variant} ${version ?? ''}`.trim();
  return [`plugin: ${what}, ${path}`, ...memoryText(memory)].join('\n');
}

/** Warnings go to stderr; with `--json` they are part of the document. */
export function showWarnings(io: Io, warnings: readonly string[]): void {
  if (io.json) return;
  for (const warning of warnings) io.err(`${io.colors.yellow('warning')}: ${warning}`);
}
