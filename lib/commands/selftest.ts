// SPDX-License-Identifier: MIT
import { writeFileSync } from 'node:fs';
import { InvalidArgumentError, type Command } from 'commander';
import { addExamples, addOutput } from '../command-line/index.ts';
import { UsageError } from '../errors.ts';
import { checkNewFile } from '../directory.ts';
import { reasonOf } from '../errno.ts';
import { formatBytes, formatDuration, table, type Io } from '../output.ts';
import { parseSize } from '../size.ts';
import { runSelftest, selftestChecks, type CheckResult, type SelftestResult } from '../selftest/index.ts';

interface Flags {
  list?: boolean;
  software?: boolean;
  size?: string;
  upstream?: string;
  python?: string;
  minSpeedup?: number;
  output?: string;
}

function parseSpeedup(text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('accepted: a number above 0');
}

function figureText(name: string, value: number | string): string {
  if (typeof value === 'string') return `${name} ${value}`;
  if (name.endsWith('Ms'))
    return `${name.slice(0, -2)} ${value < 1 ? `${value.toFixed(3)} ms` : formatDuration(value)}`;
  if (name.endsWith('Bytes')) return `${name.slice(0, -5)} ${formatBytes(value)}`;
  return `${name} ${value.toFixed(1)}`;
}

function resultText(io: Io, { name, status, durationMs, figures, reason }: CheckResult): string {
  const { green, red, yellow } = io.colors;
  const marks = { passed: green('passed'), failed: red('FAILED'), skipped: yellow('skipped') };
  const measured = Object.entries(figures).map(([key, value]) => figureText(key, value));
  const said = reason ?? measured.join(', ');
  return `${marks[status]}  ${name}  ${formatDuration(durationMs)}  ${said}`;
}

function summaryText({ environment, results }: SelftestResult): string {
  const count = (status: CheckResult['status']): number =>
    results.filter((one) => one.status === status).length;
  const note = environment.software ? '; software driver: the times mean nothing' : '';
  return `${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped${note}`;
}

async function selftest(io: Io, only: readonly string[], flags: Flags): Promise<void> {
  if (flags.list === true) {
    io.result(selftestChecks, () =>
      table(
        [],
        selftestChecks.map(({ name, claim }) => [name, claim]),
      ),
    );
    return;
  }
  const { software = false, size, upstream, python, minSpeedup, output } = flags;
  if (output !== undefined) checkNewFile(output);
  const result = await runSelftest({
    only,
    software,
    bytes: size === undefined ? undefined : parseSize(size),
    upstream,
    python,
    minSpeedup,
    signal: io.signal,
    onStart: ({ name }) => {
      if (io.interactive) io.rawErr(`${name} …\r`);
    },
    onResult: (one) => {
      if (!io.json) io.out(resultText(io, one));
    },
  });
  if (output !== undefined) {
    try {
      writeFileSync(output, `${JSON.stringify(result, null, 2)}\n`);
    } catch (cause) {
      throw new UsageError(`cannot write ${output}: ${reasonOf(cause)}`);
    }
  }
  io.result(result, () => summaryText(result));
  if (result.results.some(({ status }) => status === 'failed')) io.exitCode = 1;
}

export function defineSelftest(command: Command, io: Io): void {
  addExamples(
    command,
    'criu-cuda selftest',
    'criu-cuda selftest --list',
    'criu-cuda selftest --size 16G --output selftest.json',
  );
  command
    .argument('[check...]', 'names of checks (default: all)')
    .option('--list', 'list the checks and the claim of each')
    .option(
      '--upstream <dir>',
      "directory with CRIU's own cuda_plugin.so and NVIDIA's cuda-checkpoint, for comparison",
    )
    .option(
      '--min-speedup <factor>',
      'how many times faster than --upstream a restore must be (default: 3)',
      parseSpeedup,
    )
    .option('--size <size>', 'device memory of the test program, e.g. 16G (default: 2G)')
    .option('--python <program>', 'Python interpreter that has PyTorch (default: python3)')
    .option('--software', 'run on the software driver, to test the checks themselves');
  addOutput(command, { description: 'write the results and all figures to this file as JSON' }).action(
    (names: string[], flags: Flags) => selftest(io, names, flags),
  );
}
