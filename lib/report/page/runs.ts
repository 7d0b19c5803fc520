// SPDX-License-Identifier: MIT
/**
 * Every run of each case: a point per run, the middle half as a box, the median as a line.
 * @module
 */
import { boxOf, seconds } from '../figures.ts';
import { brokenScale, type Scale } from '../scale.ts';
import { axes, scaleStyle } from './bars.ts';
import { escapeHtml } from './elements.ts';

/** The runs of one case. */
export interface Runs {
  name: string;
  values: readonly number[];
  more?: boolean;
  best?: boolean;
}

const percent = (ms: number, { max }: Scale): string => `${Math.round((ms / max) * 10_000) / 100}%`;

function drawing({ values }: Runs, scale: Scale, view: 'few' | 'all'): string {
  const { min, q1, median, q3, max } = boxOf(values);
  const text = `${seconds(min)} to ${seconds(max)} s`;
  if (max > scale.max) return `<span class="${view} beyond">beyond the axis: ${text}</span>`;
  const at = (ms: number): string => percent(ms, scale);
  const box = `<span class="box" style="left:${at(q1)};width:${at(q3 - q1)}"></span>`;
  const points = values.map((ms) => `<span class="point" style="left:${at(ms)}"></span>`);
  return `<span class="${view}"><span class="range" style="left:${at(min)};width:${at(max - min)}"></span>${box}<span class="median" style="left:${at(median)}"></span>${points.join('')}</span>`;
}

/** The chart of all runs. */
export function runsChart(title: string, cases: readonly Runs[]): string {
  const longest = (shown: readonly Runs[]): number[] => shown.map(({ values }) => Math.max(...values));
  const scales = {
    few: brokenScale(longest(cases.filter(({ more }) => more !== true))),
    all: brokenScale(longest(cases)),
  };
  const rows = cases.map((one) => {
    const { min, q1, median, q3, max } = boxOf(one.values);
    const spoken = `${one.name}: ${one.values.length} runs, ${seconds(min)} to ${seconds(max)} s, median ${seconds(median)} s, middle half ${seconds(q1)} to ${seconds(q3)} s`;
    const classes = ['case', ...(one.more === true ? ['more'] : []), ...(one.best === true ? ['best'] : [])];
    return `<li class="${classes.join(' ')}"><span class="name" aria-hidden="true">${escapeHtml(one.name)}</span><div class="plot"><div class="track runs" tabindex="0" role="img" aria-label="${escapeHtml(spoken)}">${drawing(one, scales.few, 'few')}${drawing(one, scales.all, 'all')}</div><div class="tip" aria-hidden="true"><b>${escapeHtml(one.name)}</b><span>shortest</span><span>${seconds(min)} s</span><span>median</span><span>${seconds(median)} s</span><span>longest</span><span>${seconds(max)} s</span></div></div></li>`;
  });
  return `<figure class="chart" style="${scaleStyle(scales)}"><figcaption>${escapeHtml(title)}</figcaption>${axes(scales)}<ul class="bars">${rows.join('')}</ul><p class="note">A point is a run, the box the middle half of them, the line their median.</p></figure>`;
}
