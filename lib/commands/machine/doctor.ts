// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import { addExamples, addOperands, imagesDirOperand, withOptions } from '../../command-line/index.ts';
import { checkMachine, type MachineCheck, type CheckStatus, type MachineReport } from '../../doctor/index.ts';
import { table, type Io } from '../../output.ts';
import { withProgress } from '../../progress.ts';
import { currentSystem } from '../../machine/index.ts';

function statusText(io: Io, status: CheckStatus): string {
  const { green, yellow, red } = io.colors;
  return { ok: green, warning: yellow, missing: red, broken: red }[status](status);
}

function foundText(io: Io, check: MachineCheck): string {
  return check.remedy === undefined ? check.found : `${check.found}\n${io.colors.dim('→')} ${check.remedy}`;
}

function reportText(io: Io, report: MachineReport): string {
  const rows = report.checks.map((check) => [
    statusText(io, check.status),
    check.title,
    foundText(io, check),
  ]);
  const count = (wanted: readonly CheckStatus[]): number =>
    report.checks.filter(({ status }) => wanted.includes(status)).length;
  const bad = count(['missing', 'broken']);
  const summary = report.ready
    ? `ready, ${count(['warning'])} warning(s)`
    : `not ready: ${bad} check(s) missing or broken, ${count(['warning'])} warning(s)`;
  return `${table([], rows)}\n\n${summary}`;
}

async function doctor(io: Io, options: { imagesDir?: string | undefined }): Promise<void> {
  const system = currentSystem(io.signal);
  const report = await withProgress(io, 'checking this machine', () => checkMachine({ ...options, system }));
  io.result(report, () => reportText(io, report));
  io.exitCode = report.ready ? 0 : 1;
}

export function defineDoctor(command: Command, io: Io): void {
  const imagesDir = { ...imagesDirOperand('also check this directory for images'), isOptional: true };
  addOperands(command, [imagesDir]).action(
    withOptions((options: { imagesDir?: string }) => doctor(io, options)),
  );
  addExamples(command, 'criu-cuda doctor', 'criu-cuda doctor /var/lib/images');
}
