// SPDX-License-Identifier: MIT
/** What options of more than one `bench` command share. */

/** A list joined by commas. */
export const words = (text: string): string[] => text.split(',').map((word) => word.trim());

/** Each case with each criu program; `default` is the one that setup finds. */
export function withEachCriu(cases: readonly string[], programs: readonly string[]): string[] {
  return cases.flatMap((one) =>
    one === 'cold-start' || one.includes('@')
      ? [one]
      : programs.map((program) => (program === 'default' ? one : `${one}@${program}`)),
  );
}
