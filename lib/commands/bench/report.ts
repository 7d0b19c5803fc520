// SPDX-License-Identifier: MIT
/** `bench report`: results for a terminal, a repository and a browser. */
import { statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { addExamples, addOutput } from '../../command-line/index.ts';
import { words } from './options.ts';
import type { Io } from '../../output.ts';
import {
  loadReport,
  reportHtml,
  reportMarkdown,
  reportText,
  type BenchmarkReportOptions,
} from '../../report/index.ts';
import { makeDirectory } from '../../directory.ts';
import { UsageError } from '../../errors.ts';

interface ReportCommandOptions extends BenchmarkReportOptions {
  output?: string | undefined;
  write: boolean;
}

function writeReport(report: ReturnType<typeof loadReport>, dir: string): string[] {
  const markdown = reportMarkdown(report, 'report');
  const files = new Map([
    ['report.html', reportHtml(report)],
    ['report.md', markdown.text],
    ...markdown.pictures,
  ]);
  makeDirectory(dir);
  return [...files].map(([name, content]) => {
    const path = join(dir, name);
    writeFileSync(path, content);
    return path;
  });
}

/** What is reported, and what it is compared with: `report OLD NEW` is `report NEW --against OLD`. */
function chooseResults(first: string, second: string | undefined, against: string | undefined) {
  if (second === undefined) return { path: first, against };
  if (against === undefined) return { path: second, against: first };
  throw new UsageError(
    `two earlier results are named, ${first} and ${against}`,
    'criu-cuda bench report OLD NEW',
  );
}

function runReport(
  io: Io,
  [first, second]: [string, string | undefined],
  options: ReportCommandOptions,
): void {
  const { path, against } = chooseResults(first, second, options.against);
  const report = loadReport(resolve(path), { ...options, against });
  const beside = statSync(path).isDirectory() ? path : dirname(path);
  const files = options.write ? writeReport(report, resolve(options.output ?? beside)) : [];
  if (!io.json) for (const file of report.ignored) io.err(`ignored, not a benchmark result: ${file}`);
  io.result({ ...report, files }, () =>
    [
      reportText(report),
      ...(files.length === 0 ? [] : ['', 'written:', ...files.map((file) => `  ${file}`)]),
    ].join('\n'),
  );
}

export function defineReport(command: Command, io: Io): void {
  addExamples(
    command,
    'criu-cuda bench report results',
    'criu-cuda bench report earlier results --output /tmp/report',
  );
  command
    .argument('<results>', 'directory of results, or one result')
    .argument('[newer]', 'the same: these are shown, compared with the first')
    .option('--against <path>', 'earlier result, or directory of results, to compare with')
    .option('--cases <list>', 'only these, joined by commas; speedups are relative to the first', words)
    .option('--no-write', 'only print');
  addOutput(command, {
    value: 'dir',
    description: 'directory for the files (default: next to the results)',
  }).action((first: string, second: string | undefined, options: ReportCommandOptions) => {
    runReport(io, [first, second], options);
  });
}
