// SPDX-License-Identifier: MIT
/**
 * Columns of a table, and what their cells are sorted by.
 * @module
 */

/** A column: one of numbers says how the table is sorted by it. */
export interface Column {
  title: string;
  /** Absent for text. */
  sort?: 'ascending' | 'none';
}

const units: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };

/** The number that a cell is sorted by: `8.71 GiB` by its bytes; empty cells come last. */
export function sorted(cell: string): string {
  const [, number, unit = ''] =
    /^([\d.]+)[^\d.]*?\s?([KMGT]iB)?$/.exec(cell.replace(/[–(].*/, '').trim()) ?? [];
  return number === undefined ? '' : String(Number(number) * (units[unit] ?? 1));
}

/** The columns of cells: the first has names, the others have numbers where every cell begins with one. */
export function columnsOf(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  sortedBy?: string,
): Column[] {
  return head.map((title, index) => {
    const filled = rows.map((row) => row[index] ?? '').filter((cell) => cell !== '');
    if (index === 0 || filled.some((cell) => !/^[\d.]/.test(cell))) return { title };
    return { title, sort: title === sortedBy ? 'ascending' : 'none' };
  });
}
