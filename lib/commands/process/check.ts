// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import {
  addExamples,
  addOperands,
  imagesDirOperand,
  pidOperand,
  withOptions,
} from '../../command-line/index.ts';
import { checkProcess } from '../../checkpoint/index.ts';
import type { CheckResult, Reason } from '../../criu/index.ts';
import { groupByRemedy } from '../../errors.ts';
import { formatBytes, table, type Io } from '../../output.ts';
import { parsePid } from '../operation-options.ts';

interface Flags {
  pid: number;
  imagesDir?: string | undefined;
  variant?: string | undefined;
  libdir?: string | undefined;
  leaveRunning?: boolean | undefined;
  force?: boolean | undefined;
}

const REFUSED = 2;

function treeText({ pids, threads, mappings, deviceBytes }: CheckResult): string {
  const device = deviceBytes === 0 ? '' : `, device memory: ${formatBytes(deviceBytes)}`;
  return `processes: ${pids.length}, threads: ${threads}, mappings: ${mappings}${device}`;
}

/** Reasons with the same remedy, each with its severity. */
function reasonRow(io: Io, reasons: readonly Reason[], remedy: string): string[] {
  const { red, yellow, dim } = io.colors;
  const severities = reasons.map(({ severity }) => (severity === 'warn' ? yellow(severity) : red(severity)));
  return [severities.join('\n'), [...reasons.map(({ text }) => text), `${dim('→')} ${remedy}`].join('\n')];
}

function resultText(io: Io, pid: number, look: CheckResult): string {
  const guesses = look.refused && look.reasons.every(({ severity }) => severity !== 'refuse');
  const verdict = look.usesCuda
    ? `${pid} ${look.refused ? 'cannot' : 'can'} be dumped (${treeText(look)})`
    : `${pid} does not use CUDA: only CRIU can tell whether it can be dumped`;
  return [
    verdict,
    ...(look.reasons.length === 0
      ? []
      : [
          table(
            [],
            [...groupByRemedy(look.reasons)].map(([remedy, reasons]) => reasonRow(io, reasons, remedy)),
          ),
        ]),
    ...(guesses ? ['all reasons are guesses; CRIU_CUDA_FORCE=1 overrides them'] : []),
  ].join('\n');
}

async function runCheck(io: Io, options: Flags): Promise<void> {
  const { pid } = options;
  const look = await checkProcess({ ...options, signal: io.signal });
  io.result({ pid, ...look }, () => resultText(io, pid, look));
  io.exitCode = look.refused ? REFUSED : 0;
}

export function defineCheck(command: Command, io: Io): void {
  const imagesDir = { ...imagesDirOperand('also check the space in this directory'), isOptional: true };
  addOperands(command, [pidOperand(parsePid), imagesDir])
    .option('--variant <name>', 'variant of the plugin, from the build')
    .option('--libdir <dir>', 'directory of the plugin')
    .option('--leave-running', 'for a dump after which the process keeps running')
    .option('--force', 'override guesses, like CRIU_CUDA_FORCE=1')
    .action(withOptions((flags: Flags) => runCheck(io, flags)));
  addExamples(command, 'criu-cuda check 4711', 'criu-cuda check 4711 /var/lib/images --leave-running');
}
