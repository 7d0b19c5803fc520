// SPDX-License-Identifier: MIT
/**
 * Horizontal bars with a name, segments, and a total at the end. Lengths are percentages of custom properties, so that the
 * axis changes with the cases that are shown, the width with the page, and nothing has to be drawn again for print.
 * @module
 */
import { seconds } from '../figures.ts';
import { brokenScale, ticksOf, type Scale } from '../scale.ts';
import { escapeHtml } from './elements.ts';

/** A part of a bar. */
export interface Segment {
  name: string;
  ms: number;
  /** Class of its color. */
  color: string;
}

/** One bar. */
export interface Bar {
  name: string;
  /** In the order in which they are drawn. */
  segments: readonly Segment[];
  /** The median of the whole, where those of the parts do not add up to it. @default the sum of the segments */
  total?: number;
  /** Shown only with all cases. */
  more?: boolean;
  best?: boolean;
  /** Marks the row of the reference and the cold start. */
  remark?: string;
  /** Follows the bar before it, without a name of its own. */
  second?: boolean;
}

/** Scales for the few cases shown first, and for all. */
export interface Scales {
  few: Scale;
  all: Scale;
}

const total = ({ segments, total: whole }: Pick<Bar, 'segments' | 'total'>): number =>
  whole ?? segments.reduce((sum, { ms }) => sum + ms, 0);

/** Scales for bars; long ones are broken off. */
export function barScales(bars: readonly Bar[]): Scales {
  const totals = bars.map(total);
  return {
    few: brokenScale(totals.filter((_, index) => bars[index]?.more !== true)),
    all: brokenScale(totals),
  };
}

const rounded = (value: number): string => String(Math.round(value * 100) / 100);

function axis({ max, step }: Scale, view: 'few' | 'all'): string {
  const digits = step >= 1000 ? 0 : step >= 100 ? 1 : step >= 10 ? 2 : 3;
  const ticks = ticksOf({ max, step }).map(
    (ms) =>
      `<span style="left:${rounded((ms / max) * 100)}%">${(ms / 1000).toFixed(digits)}${ms === 0 ? ' s' : ''}</span>`,
  );
  return `<div class="axis ${view}" aria-hidden="true"><div>${ticks.join('')}</div></div>`;
}

/** Both axes; the page shows one. */
export function axes({ few, all }: Scales): string {
  return axis(few, 'few') + axis(all, 'all');
}

/** The custom properties of both axes, for the element around the rows. */
export function scaleStyle({ few, all }: Scales): string {
  return [
    `--few:${rounded(few.max)}`,
    `--few-step:${rounded((few.step / few.max) * 100)}%`,
    `--all:${rounded(all.max)}`,
    `--all-step:${rounded((all.step / all.max) * 100)}%`,
  ].join(';');
}

function tip({ name, segments }: Bar, sum: number): string {
  const rows = segments
    .filter(({ ms }) => ms >= 0.5)
    .map(
      ({ name: part, ms, color }) =>
        `<span><i class="swatch ${color}"></i>${escapeHtml(part)}</span><span>${seconds(ms)} s</span>`,
    );
  const parts = segments.length > 1 ? rows : [];
  return `<div class="tip" aria-hidden="true"><b>${escapeHtml(name)}</b>${parts.join('')}<span>total</span><span>${seconds(sum)} s</span></div>`;
}

function bar(one: Bar, scales: Scales): string {
  const { name, segments, more, best, remark, second } = one;
  const sum = total(one);
  const drawn = total({ segments });
  const classes = [
    'case',
    ...(more === true ? ['more'] : []),
    ...(best === true ? ['best'] : []),
    ...(second === true ? ['second'] : []),
    ...(sum > scales.few.max * 1.001 ? ['broken-few'] : []),
    ...(sum > scales.all.max * 1.001 ? ['broken-all'] : []),
  ];
  const parts = segments.map(
    ({ ms, color }) => `<span class="segment ${color}" style="--ms:${rounded(ms)}"></span>`,
  );
  const spoken = [
    `${name}: ${seconds(sum)} s`,
    ...(segments.length > 1 ? segments.filter(({ ms }) => ms >= 0.5) : []).map(
      ({ name: part, ms }) => `${part} ${seconds(ms)} s`,
    ),
  ].join('; ');
  const label =
    second === true
      ? ''
      : `${escapeHtml(name)}${remark === undefined ? '' : ` <small>${escapeHtml(remark)}</small>`}`;
  return `<li class="${classes.join(' ')}"><span class="name" aria-hidden="true">${label}</span><div class="plot"><div class="track" tabindex="0" role="img" aria-label="${escapeHtml(spoken)}" style="--ms:${rounded(drawn)}"><span class="segments">${parts.join('')}</span><span class="total">${seconds(sum)} s</span></div>${tip(one, sum)}</div></li>`;
}

/** The legend of segments: each name once, in the order of the bars. */
function legend(bars: readonly Bar[]): string {
  const colors = new Map(
    bars.flatMap(({ segments }) => segments.map(({ name, color }) => [name, color] as const)),
  );
  if (colors.size < 2) return '';
  const items = [...colors].map(
    ([name, color]) => `<li><i class="swatch ${color}"></i>${escapeHtml(name)}</li>`,
  );
  return `<ul class="legend">${items.join('')}</ul>`;
}

const BROKEN = 'A bar with a jagged end is longer than the axis; its total is at its end.';

/** A chart of bars with its axis on top. @param note what else is to be said below it */
export function barChart(
  title: string,
  bars: readonly Bar[],
  scales = barScales(bars),
  note?: string,
): string {
  const isBroken = bars.some((one) => total(one) > Math.min(scales.few.max, scales.all.max));
  const rows = bars.map((one) => bar(one, scales)).join('');
  const notes = [...(isBroken ? [BROKEN] : []), ...(note === undefined ? [] : [note])].join(' ');
  return `<figure class="chart" style="${scaleStyle(scales)}"><figcaption>${escapeHtml(title)}</figcaption>${legend(bars)}${axes(scales)}<ul class="bars">${rows}</ul>${notes === '' ? '' : `<p class="note">${notes}</p>`}</figure>`;
}
