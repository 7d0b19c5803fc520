// SPDX-License-Identifier: MIT
/**
 * Runs one command line. Exit codes: 0 for success, 1 for a failed operation, 2 for wrong use or something missing on
 * this machine.
 * @module
 */
import { Command, CommanderError } from 'commander';
import {
  addExamples,
  configureHelp,
  helpOfReached,
  settleWords,
  usageError,
  withEnvFile,
} from './command-line/index.ts';
import { addCommands, commands, type CommandEntry } from './commands/index.ts';
import { describeError, EnvironmentError, ToolkitError, UsageError } from './errors.ts';
import { describeErrno, isErrno } from './errno.ts';
import { errorExitCode } from './exit-code.ts';
import type { Io } from './output.ts';
import { packageVersion } from './version.ts';

/** `--json` counts only before `--`: what follows is the command line of another program. */
export function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return (end === -1 ? argv : argv.slice(0, end)).includes('--json');
}

/** The commands that a command line can need: the one that it begins with, none for the version, or else all. */
function commandsFor(word: string | undefined): readonly CommandEntry[] {
  if (word === '--version' || word === '-V') return [];
  const named = commands.filter(({ name, seesOthers }) => name === word && seesOthers !== true);
  return named.length > 0 ? named : commands;
}

/**
 * The program with its commands; what is not used is not loaded, see `loadAllCommands`.
 * @param word the first one of the command line, when the program runs nothing else. @default all commands
 */
export function createProgram(io: Io, word?: string): Command {
  const program = new Command('criu-cuda')
    .description('Checkpoint running CUDA processes with CRIU and restore them fast')
    .version(packageVersion())
    .option('--json', 'print one JSON document instead of text')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => {
        io.out(text);
      },
      writeErr: () => undefined, // usage errors are printed by reportError, in one format
    });
  addCommands(configureHelp(program), commandsFor(word), io);
  return addExamples(
    program,
    'criu-cuda run -- python3 server.py',
    'criu-cuda checkpoint 4711 /dev/shm/img',
    'criu-cuda restore /dev/shm/img',
  );
}

function errorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof ToolkitError)) {
    return { code: 'ERR_INTERNAL', message: describeErrno(error) ?? describeError(error) };
  }
  return {
    code: error.code,
    message: error.message,
    hint: error.hint,
    ...(error instanceof EnvironmentError ? { missing: error.missing } : {}),
    ...('facts' in error ? { facts: error.facts } : {}),
    ...('tasks' in error ? { tasks: error.tasks } : {}),
    ...(error.cause instanceof Error ? { cause: error.cause.message } : {}),
  };
}

/** The lines of a hint that its message does not have already. */
function hintBeside(message: string, hint = ''): string {
  return hint
    .split('\n')
    .filter((line) => !message.includes(line))
    .join('\n');
}

function reportError(io: Io, error: unknown): number {
  const known = error instanceof ToolkitError;
  if (io.json) {
    io.out(JSON.stringify({ error: errorFields(error) }, null, 2));
  } else {
    const refusal = describeErrno(error);
    const message = refusal ?? describeError(error);
    io.err(`criu-cuda: ${message}`);
    const hint = known ? hintBeside(message, error.hint) : '';
    if (hint !== '') io.err(hint);
    // where a system call was refused, a stack trace tells nobody what to do
    const stack = known || refusal !== undefined || !(error instanceof Error) ? undefined : error.stack;
    if (stack !== undefined) io.err(stack);
  }
  return errorExitCode(error);
}

/** The signal, when it interrupted the command and the error is only a consequence; or the lack of rights. */
async function sourceOf(io: Io, error: unknown): Promise<unknown> {
  if (error instanceof ToolkitError) return error;
  if (isErrno(error, 'ENOENT') && error instanceof Error && 'syscall' in error && error.syscall === 'uv_cwd')
    return new UsageError('the current directory does not exist any more', 'go to another one: cd /');
  if (io.signal.aborted) return io.signal.reason;
  const isDenied = isErrno(error, 'EACCES', 'EPERM') && process.geteuid?.() !== 0;
  if (!isDenied) return error;
  const { sudoCommand } = await import('./machine/index.ts');
  return new EnvironmentError(describeErrno(error) ?? describeError(error), [
    { what: 'the rights of root', remedy: `run it as root: ${sudoCommand()}` },
  ]);
}

/** Runs one command line. @returns the exit code */
export async function main(typed: readonly string[], io: Io): Promise<number> {
  const program = createProgram(io, typed[0]);
  if (typed.length === 0) {
    io.err(program.helpInformation());
    return 2;
  }
  try {
    const argv = withEnvFile(typed);
    program.hook('preAction', (_program, command) => {
      settleWords(command, argv);
    });
    await program.parseAsync(argv, { from: 'user' });
    return io.exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) return reportError(io, await sourceOf(io, error));
    // requested help and version
    if (error.exitCode === 0) return 0;
    // a group without one of its commands, which answers like the program without one
    if (error.code === 'commander.help' && !io.json) {
      io.err(helpOfReached(program));
      return 2;
    }
    return reportError(io, usageError(program, error));
  }
}
