// SPDX-License-Identifier: MIT
/** Says what a restore does with connections and pipes that lead out of the dumped tree. @module */
import type { AdjustedImages, OutsidePipe } from '../criu/index.ts';

/** Names in a message; further ones are only counted. */
const SHOWN = 3;

/** Names for a message. */
export function listed(names: readonly string[]): string {
  const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : '';
  return names.slice(0, SHOWN).join(', ') + more;
}

const standardNames: Readonly<Record<number, string>> = { 0: 'stdin', 1: 'stdout', 2: 'stderr' };

function pipeText({ end, descriptors }: OutsidePipe): string {
  const names = descriptors.map((fd) => standardNames[fd] ?? `descriptor ${fd}`).join(' and ');
  return `${names} (${end} end)`;
}

/** Warnings of a dump. A process that keeps running keeps all of it, so that only a restore differs. */
export function outsideWarnings({ closed, pipes }: AdjustedImages): string[] {
  const names = closed.map(({ kind, name }) => `${kind} ${name}`);
  return [
    ...(names.length === 0
      ? []
      : [
          `${names.length} ${names.length === 1 ? 'connection' : 'connections'} to processes outside the tree (${listed(names)}): a restore closes them`,
        ]),
    ...(pipes.length === 0
      ? []
      : [
          `pipes to processes outside the tree: ${listed(pipes.map(pipeText))}; a restore joins stdout and stderr to its own or to the file given with --log, other write ends to /dev/null; a read end gets what was not read yet, then end of file`,
        ]),
  ];
}
