// SPDX-License-Identifier: MIT
/**
 * The criu flags that are passed through unchanged. Types, command-line options and arguments all come from this one
 * table: a new flag is a new line here.
 * @module
 */

/**
 * Keys are option names; the flag is the same in kebab case: `tcpEstablished` and `--tcp-established`. The text is the
 * help.
 */
export const criuFlags = {
  /**
   * The tasks share a session, and maybe a terminal, with processes outside their tree.
   * @default detected at dump and restore
   */
  shellJob: 'the process belongs to a session that is not dumped (default: detected)',
  /**
   * Keep TCP connections to processes outside the tree open, where the restore can have the same addresses and ports.
   * @default such connections are closed by the restore; those inside the tree are always kept
   */
  tcpEstablished: 'keep TCP connections to processes outside the tree open (default: a restore closes them)',
  /** Close all TCP connections, those inside the tree too. @default false */
  tcpClose: 'let the restore close all TCP connections',
  /** Allow datagram Unix sockets that are connected to other processes. @default true */
  extUnixSk: 'with Unix sockets connected to other processes (default)',
  /** Allow file locks. @default true */
  fileLocks: 'with file locks (default)',
  /** Allow open files that have been deleted. @default true */
  linkRemap: 'with open files that have been deleted (default)',
} as const;

/** Name of an option that is a criu flag. */
export type CriuFlag = keyof typeof criuFlags;

/** The flags that are switched on. */
export type CriuFlags = { -readonly [Name in keyof typeof criuFlags]?: boolean | undefined };

export const criuFlagNames = Object.keys(criuFlags) as readonly CriuFlag[];

/** `tcpEstablished` → `--tcp-established` */
export function flagWord(name: CriuFlag): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Picks the flags out of options that have more. */
export function pickCriuFlags(options: CriuFlags): CriuFlags {
  return Object.fromEntries(criuFlagNames.map((name) => [name, options[name]]));
}

/**
 * Command-line words for the flags that are switched on.
 * @param names flags that the program supports: podman has only some of them
 */
export function criuFlagWords<Name extends CriuFlag>(
  flags: Pick<CriuFlags, Name>,
  names: readonly Name[],
): string[] {
  return names.filter((name) => flags[name] === true).map(flagWord);
}

/** What any server may have; a restore without the flags that the dump had would fail, or lose a lock silently. */
const always: CriuFlags = { extUnixSk: true, fileLocks: true, linkRemap: true };

/** The flags for criu: what was chosen, and for the rest what lets any tree be dumped and restored. */
export function completeFlags(chosen: CriuFlags): CriuFlags {
  const given = Object.fromEntries(
    Object.entries(pickCriuFlags(chosen)).filter(([, value]) => value !== undefined),
  );
  return { ...always, ...given, tcpEstablished: chosen.tcpClose !== true };
}
