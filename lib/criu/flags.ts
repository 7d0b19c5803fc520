// SPDX-License-Identifier: MIT
/**
 * The flags of criu that are passed on as they are, once: types, command-line options and arguments come from this
 * table. A new one is a new line.
 * @module
 */

/** By the option's name; the flag has the same one, `tcpEstablished` and `--tcp-established`. The text is its help. */
export const criuFlags = {
  /** The tasks share a session, and maybe a terminal, with processes outside their tree. @default found out at a dump and a restore */
  shellJob: 'the process belongs to a session that is not dumped (default: found out)',
  /** Open TCP connections. @default false */
  tcpEstablished: 'with open TCP connections',
  /** Unix sockets connected to other processes. @default false */
  extUnixSk: 'with Unix sockets connected to other processes',
  /** File locks. @default false */
  fileLocks: 'with file locks',
  /** Deleted files that are open. @default false */
  linkRemap: 'with deleted files that are open',
} as const;

/** Name of an option that is a flag of criu. */
export type CriuFlag = keyof typeof criuFlags;

/** What is switched on of them. */
export type CriuFlags = { -readonly [Name in keyof typeof criuFlags]?: boolean | undefined };

export const criuFlagNames = Object.keys(criuFlags) as readonly CriuFlag[];

/** `tcpEstablished` → `--tcp-established` */
export function flagWord(name: CriuFlag): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Only the flags, out of options that have more. */
export function pickCriuFlags(options: CriuFlags): CriuFlags {
  return Object.fromEntries(criuFlagNames.map((name) => [name, options[name]]));
}

/**
 * The words for a command line.
 * @param names those that the program takes: podman has some of them
 */
export function criuFlagWords<Name extends CriuFlag>(
  flags: Pick<CriuFlags, Name>,
  names: readonly Name[],
): string[] {
  return names.filter((name) => flags[name] === true).map(flagWord);
}
