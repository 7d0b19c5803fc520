// SPDX-License-Identifier: MIT
/**
 * Text and tables as HTML.
 * @module
 */
import { sorted, type Column } from './columns.ts';

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
};

/** Text, safe in an element and in a quoted attribute. */
export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"]/g, (character) => entities[character] ?? character);
}

/** A row of a table: its cells, and whether it is shown only with all cases. */
export interface Row {
  cells: readonly string[];
  more?: boolean;
  best?: boolean;
}

interface Table {
  id: string;
  caption: string;
  columns: readonly Column[];
  rows: readonly Row[];
}

/** A table in a region that scrolls by keyboard; columns with numbers can be sorted by a button in their heading. */
export function dataTable({ id, caption, columns, rows }: Table): string {
  const head = columns.map(({ title, sort }) => {
    const align = sort === undefined ? '' : ' class="number"';
    const order = sort === undefined || sort === 'none' ? '' : ` aria-sort="${sort}"`;
    const text = escapeHtml(title);
    return `<th scope="col"${align}${order}>${sort === undefined || rows.length < 3 ? text : `<button type="button">${text}</button>`}</th>`;
  });
  const body = rows.map(({ cells, more, best }) => {
    const names = [...(more === true ? ['more'] : []), ...(best === true ? ['best'] : [])];
    const inside = cells.map((cell, index) => {
      const column = columns[index];
      if (index === 0) return `<th scope="row">${escapeHtml(cell)}</th>`;
      return `<td${column?.sort === undefined ? '' : ` class="number" data-value="${sorted(cell)}"`}>${escapeHtml(cell)}</td>`;
    });
    return `<tr${names.length === 0 ? '' : ` class="${names.join(' ')}"`}>${inside.join('')}</tr>`;
  });
  return `<div class="scroll" role="group" tabindex="0" aria-labelledby="${id}-caption"><table id="${id}"><caption id="${id}-caption">${escapeHtml(caption)}</caption><thead><tr>${head.join('')}</tr></thead><tbody>${body.join('')}</tbody></table></div>`;
}

/** A text that a button copies. */
export function copyable(id: string, label: string, text: string): string {
  return `<div class="copyable"><button type="button" data-copy="${id}">Copy ${escapeHtml(label)}</button><pre id="${id}" tabindex="0" role="group" aria-label="${escapeHtml(label)}">${escapeHtml(text)}</pre></div>`;
}
