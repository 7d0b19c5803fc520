// SPDX-License-Identifier: MIT
import { Option, type Command } from 'commander';
import { requiredOption } from './errors.ts';
import { commandSpec } from './spec.ts';

/** The file that a command writes. */
export interface OutputOption {
  description: string;
  /** What the value is. @default file */
  value?: string | undefined;
  /** What the option was called before; still accepted. @default --out */
  old?: string | undefined;
  /** The value without the option. */
  standard?: string | undefined;
  /** @default false */
  isRequired?: boolean | undefined;
}

/** Adds a name that an option had before: still accepted, no longer shown. */
export function addOldName(command: Command, option: Option, name: string): Command {
  const old = new Option(option.flags.replace(option.long ?? '', name), `old name of ${option.long ?? ''}`);
  if (option.parseArg) old.argParser(option.parseArg);
  commandSpec(command).aliases.push({ old, option });
  return command.addOption(old.hideHelp());
}

/** Adds `--output`, the one name of the option for a file or directory that is written; its old name is hidden. */
export function addOutput(command: Command, { description, ...more }: OutputOption): Command {
  const { value = 'file', old = '--out', standard, isRequired = false } = more;
  const flags = `--output <${value}>`;
  const option = isRequired ? requiredOption(flags, description) : new Option(flags, description);
  if (standard !== undefined) option.default(standard);
  return addOldName(command.addOption(option), option, old);
}
