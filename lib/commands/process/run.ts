// SPDX-License-Identifier: MIT
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { addExamples } from '../../command-line/index.ts';
import { EnvironmentError, UsageError } from '../../errors.ts';
import { softwareDriverVariables } from '../../gpu/index.ts';
import { programInterceptor } from '../../install/index.ts';
import { preloadable, type Preloadable } from '../../inspect/index.ts';
import { findOnPath, isExecutable } from '../../machine/index.ts';
import type { Io } from '../../output.ts';
import { exitCodeOf } from '../../process/index.ts';
import { launch, preloadProblem, startLaunch, type Launch } from '../../run/index.ts';
import { loadSettings } from '../../settings/index.ts';

interface RunFlags {
  intercept: boolean;
  softcuda: boolean;
  allowIoUring?: boolean | undefined;
  log?: string | undefined;
  env?: Record<string, string> | undefined;
  detach?: boolean | undefined;
  quiet?: boolean | undefined;
}

/** The file that will be run. */
function pathOf(command: string): string {
  const path = command.includes('/') ? resolve(command) : findOnPath(command, process.env.PATH);
  if (path === undefined) throw new UsageError(`cannot run ${command}: it is not in PATH`);
  if (!existsSync(path)) throw new UsageError(`cannot run ${command}: there is no such file`);
  if (!isExecutable(path)) throw new UsageError(`cannot run ${command}: it is not an executable file`);
  return path;
}

function interceptorFor(program: string, say: (text: string) => void): string | undefined {
  const interceptor = programInterceptor();
  if (!existsSync(interceptor))
    throw new EnvironmentError('the interceptor is not built', [
      {
        what: interceptor,
        remedy: 'criu-cuda build, or run with --no-intercept for variants stock and remap',
      },
    ]);
  const problem = preloadProblem(interceptor);
  const found: Preloadable =
    problem === undefined ? preloadable('/', program) : { ok: false, reason: problem };
  if (found.reason !== undefined) {
    say(`runs without the interceptor: ${found.reason}; the driver moves all device memory`);
  }
  return found.ok ? interceptor : undefined;
}

/** @param given variables of the program that were typed */
async function driverFor(
  say: (text: string) => void,
  given: Record<string, string> | undefined,
): Promise<Record<string, string> | undefined> {
  const env = { ...process.env, ...given };
  const variables = await softwareDriverVariables(env);
  if (variables) {
    const isNamed = loadSettings(env).settings.CRIU_CUDA_DRIVER !== '';
    say(
      isNamed
        ? 'runs on the software CUDA driver (softcuda), which CRIU_CUDA_DRIVER names'
        : 'runs on the software CUDA driver (softcuda), because there is no NVIDIA GPU; --no-softcuda avoids it',
    );
  }
  return variables;
}

/** One more variable of the program; of two with the same name, the last counts. */
function addVariable(word: string, others: Record<string, string> = {}): Record<string, string> {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(word) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError('accepted: NAME=VALUE');
  return { ...others, [name]: value };
}

/** Waits for a program that this process could not become. */
async function stay(io: Io, started: Launch): Promise<void> {
  const program = await startLaunch(started);
  io.onStop = program.send;
  try {
    io.exitCode = exitCodeOf(await program.ended);
  } finally {
    io.onStop = undefined;
  }
}

async function runProgram(io: Io, [command = '', ...args]: string[], flags: RunFlags): Promise<void> {
  const { log, detach, allowIoUring, quiet } = flags;
  const say = (text: string): void => {
    if (quiet !== true) io.err(`${command} ${text}`);
  };
  const path = pathOf(command);
  const interceptor = flags.intercept ? interceptorFor(path, say) : undefined;
  const driver = flags.softcuda ? await driverFor(say, flags.env) : undefined;
  const env = { ...flags.env, ...driver };
  const start = launch({
    ...{ command, args, log, detach, allowIoUring, quiet, env, interceptor },
    json: io.json,
  });
  await io.become?.(start.path, start.args);
  await stay(io, start);
}

export function defineRun(command: Command, io: Io): void {
  command
    .usage('[options] -- <command> [arguments...]')
    .argument('<command...>', 'after --: the program and its arguments')
    .option('--log <file>', 'append its output to a file, which may grow between a dump and its restore')
    .option(
      '--env <name=value>',
      'set a variable of its environment; may be given several times',
      addVariable,
    )
    .option('--detach', 'print its pid and return; its output goes to --log, or nowhere')
    .option('--no-intercept', 'run without the interceptor; the driver moves all device memory')
    .option('--allow-io-uring', 'let it use io_uring; a program that does cannot be checkpointed')
    .option('--no-softcuda', 'run without the software CUDA driver where there is no GPU')
    .option('-q, --quiet', 'say nothing about the program')
    .action((words: string[], flags: RunFlags) => runProgram(io, words, flags));
  addExamples(
    command,
    'criu-cuda run -- python3 server.py',
    'criu-cuda run --env CUDA_VISIBLE_DEVICES=1 -- python3 server.py',
  );
}
