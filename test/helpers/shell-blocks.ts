// SPDX-License-Identifier: MIT
/** The shell commands of README.md and docs/, and the marks of those that are not run. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../lib/paths.ts';

/** Marks after ```sh, and why such a block is not run here. CONTRIBUTING.md lists them. */
export const marks: Readonly<Record<string, string>> = {
  gpu: 'needs a GPU, or a model or program that only such machines have',
  podman: 'needs podman: test/software/docs/podman.test.ts types it, with an image of its own',
  registry: 'needs a registry: test/software/registry/docs.test.ts types it, with one of its own',
  engine: 'an engine runs it in test/software/engines',
  elsewhere: 'CI runs it elsewhere: setup, the demo, the tests',
};

/** The commands that are run elsewhere: how they begin, and the file and the text in it that run them. */
export const elsewhere: readonly (readonly [string, string, string])[] = [
  ['npm run demo', 'test/software/package/bundle.test.ts', "'demo'"],
  ['npm test', '.ci/run', 'npm test'],
  ['npm run storm', 'test/software/fleet/storm.test.ts', 'measureStorm'],
  ['srun --gres=gpu:1', 'test/software/fleet/slurm.test.ts', "'srun', '--gres=gpu:1'"],
  ['sbatch golden.sbatch', 'test/software/fleet/slurm.test.ts', 'examples/slurm/golden.sbatch'],
  [
    'criu-cuda container restore --import /var/lib/web.tar',
    'test/software/container/cri.test.ts',
    'acceptConfig',
  ],
];

/** A block of commands. */
export interface Block {
  /** Path from the root of the project. */
  page: string;
  /** The heading above it. */
  heading: string;
  /** Line of the page that it begins in. */
  line: number;
  /** The word after ```sh. */
  mark: string | undefined;
  /** Its commands; one that is continued by backslashes is one. */
  commands: string[];
}

/** README.md and the pages of docs/. */
export const pages: readonly string[] = [
  'README.md',
  ...readdirSync(join(projectRoot, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];

function commandsOf(lines: readonly string[]): string[] {
  const commands = lines.join('\n').split(/(?<!\\)\n/);
  return commands.filter((command) => !/^\s*(?:#|$)/.test(command));
}

/** All blocks of shell commands of a page. */
export function shellBlocks(page: string): Block[] {
  const lines = readFileSync(join(projectRoot, page), 'utf8').split('\n');
  const blocks: Block[] = [];
  let heading = '';
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] ?? '';
    heading = /^#+ (.+)$/.exec(line)?.[1] ?? heading;
    const info = /^```(\S*) *(.*)$/.exec(line);
    if (!info) continue;
    const end = lines.indexOf('```', i + 1);
    if (info[1] === 'sh') {
      const mark = info[2] === '' ? undefined : info[2];
      blocks.push({ page, heading, line: i + 1, mark, commands: commandsOf(lines.slice(i + 1, end)) });
    }
    i = end;
  }
  return blocks;
}
