// SPDX-License-Identifier: MIT
/**
 * Maps of threads against chunk size as tables whose cells are colored; all maps of a result have one scale.
 * @module
 */
import { seconds, type HeatMap } from '../figures.ts';
import { escapeHtml } from './elements.ts';

/** Steps of color, quickest first; their names are those of the classes. */
const STEPS = 8;

/** The color of a time on a logarithmic scale: differences among short times are seen, too. */
function step(ms: number, shortest: number, longest: number): number {
  if (longest <= shortest) return 0;
  return Math.min(STEPS - 1, Math.floor((Math.log(ms / shortest) / Math.log(longest / shortest)) * STEPS));
}

function map(one: HeatMap, shortest: number, longest: number, index: string): string {
  const { title, streams, chunksMb, cells } = one;
  const head = chunksMb.map((chunk) => `<th scope="col">${chunk} MiB</th>`).join('');
  const rows = streams.map((count, y) => {
    const times = (cells[y] ?? []).map((ms) =>
      ms === undefined
        ? '<td></td>'
        : `<td class="heat-${step(ms, shortest, longest)}${ms === shortest ? ' quickest' : ''}">${seconds(ms)}</td>`,
    );
    return `<tr><th scope="row">${count} ${count === 1 ? 'thread' : 'threads'}</th>${times.join('')}</tr>`;
  });
  return `<div class="scroll" role="group" tabindex="0" aria-labelledby="${index}"><table class="heat"><caption id="${index}">${escapeHtml(title)}</caption><thead><tr><th scope="col">threads</th>${head}</tr></thead><tbody>${rows.join('')}</tbody></table></div>`;
}

/** The maps side by side, and their scale. @param heading as HTML */
export function heatTables(heading: string, maps: readonly HeatMap[], id: string): string {
  if (maps.length === 0) return '';
  const times = maps.flatMap(({ cells }) => cells.flat()).filter((ms) => ms !== undefined);
  const [shortest, longest] = [Math.min(...times), Math.max(...times)];
  const ramp = Array.from({ length: STEPS }, (_, index) => `<i class="heat-${index}"></i>`).join('');
  const drawn = maps.map((one, index) => map(one, shortest, longest, `${id}-heat-${index}`));
  return `<section>${heading}<p class="ramp">${seconds(shortest)} s <span aria-hidden="true">${ramp}</span> ${seconds(longest)} s; one scale for all maps, the quickest cell has a frame</p><div class="maps">${drawn.join('')}</div></section>`;
}
