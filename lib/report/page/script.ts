// SPDX-License-Identifier: MIT
/**
 * What the page does besides showing itself: all cases or few, sorting, copying, hiding a tooltip. Without scripts everything
 * is still there but the cases that are not shown first.
 * @module
 */

/** The script, for the end of the page. */
export const script = `
const said = document.getElementById('said');
for (const button of document.querySelectorAll('[data-shows]')) {
  button.addEventListener('click', () => {
    const part = document.getElementById(button.dataset.shows);
    const all = part.dataset.view === 'few';
    part.dataset.view = all ? 'all' : 'few';
    button.setAttribute('aria-pressed', String(all));
  });
}
for (const button of document.querySelectorAll('thead button')) {
  button.addEventListener('click', () => {
    const heading = button.closest('th');
    const order = heading.getAttribute('aria-sort') === 'ascending' ? 'descending' : 'ascending';
    for (const other of heading.parentElement.children) other.removeAttribute('aria-sort');
    heading.setAttribute('aria-sort', order);
    const body = heading.closest('table').tBodies[0];
    const value = (row) => row.cells[heading.cellIndex].dataset.value;
    const sign = order === 'ascending' ? 1 : -1;
    const rows = [...body.rows].sort((a, b) =>
      (value(a) === '') - (value(b) === '') || sign * (value(a) - value(b)));
    body.append(...rows);
    said.textContent = 'sorted by ' + button.textContent + ', ' + order;
  });
}
for (const button of document.querySelectorAll('[data-copy]')) {
  button.addEventListener('click', async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
      said.textContent = 'copied';
    } catch {
      getSelection().selectAllChildren(source);
      said.textContent = 'selected; copy it with Ctrl-C';
    }
    button.after(said);
  });
}
addEventListener('keydown', ({ key }) => {
  if (key === 'Escape') document.body.classList.add('no-tips');
});
for (const event of ['pointermove', 'focusin'])
  addEventListener(event, () => document.body.classList.remove('no-tips'));
addEventListener('beforeprint', () => {
  for (const details of document.querySelectorAll('details')) details.open = true;
});
`;
