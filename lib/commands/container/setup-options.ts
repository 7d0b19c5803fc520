// SPDX-License-Identifier: MIT
/** The options of `container setup`, which `setup --containers` has, too. */
import { Option, type Command } from 'commander';

export interface ContainersFlags {
  variant?: string | undefined;
  imageStore?: string | undefined;
  hugePages: boolean;
  writeEnv?: string | undefined;
  dryRun?: boolean | undefined;
  undo?: boolean | undefined;
}

export const containersOptions = (): Option[] => [
  new Option(
    '--variant <name>',
    'also for the own commands of engines, which then always use this variant of the plugin',
  ),
  new Option('--image-store <size>', 'mount a tmpfs of this size for images, such as 64G'),
  new Option('--no-huge-pages', 'use no huge pages in the tmpfs'),
  new Option('--write-env <file>', 'write settings for scripts to this file, such as ./.env'),
  new Option('--dry-run', 'only show the steps'),
  new Option('--undo', 'undo what it did').conflicts('dryRun'),
];

export function addContainersSetup(command: Command): Command {
  return containersOptions().reduce((all, option) => all.addOption(option), command);
}
