// SPDX-License-Identifier: MIT
/**
 * The parts of the page that show one result.
 * @module
 */
import { valuesOf } from '../../benchmark/index.ts';
import { slug } from '../charts.ts';
import { environmentCells, heatMaps, phasesOf, seconds, type PhaseColor } from '../figures.ts';
import type { NamedResult } from '../model.ts';
import { caseLabels, commandOf, isColdStart, leadOf, measureName, settingsKey, storyOf } from '../story.ts';
import { resultCells } from '../text.ts';
import { brokenScale, scaleTo } from '../scale.ts';
import { barChart, type Bar, type Segment } from './bars.ts';
import { columnsOf } from './columns.ts';
import { copyable, dataTable, escapeHtml, type Row } from './elements.ts';
import { heatTables } from './heat.ts';
import { runsChart } from './runs.ts';

/** A cold start that is this many times longer than the reference is broken off. */
const MUCH_LONGER = 1.5;

const ROUGHLY = 'Medians of phases add up to that of the whole only roughly.';

interface Shown {
  named: NamedResult;
  story: ReturnType<typeof storyOf>;
  label: (name: string) => string;
  id: string;
  /** Of the headings of its parts. */
  level: 2 | 3;
}

const heading = ({ level }: Shown, text: string): string =>
  `<h${level} class="part">${escapeHtml(text)}</h${level}>`;

const isMore = ({ story }: Shown, name: string): boolean => !story.few.some((one) => one.case === name);

/** Whether a case is not among those shown first, and whether it is the best; only what is true. */
function marks(shown: Shown, name: string): { more?: true; best?: true } {
  return {
    ...(isMore(shown, name) ? { more: true } : {}),
    ...(shown.story.best?.case === name ? { best: true } : {}),
  };
}

function remark({ story }: Shown, name: string): string | undefined {
  if (name === story.reference.case) return 'reference';
  return name === story.best?.case ? 'quickest' : undefined;
}

/** The best case, the reference and the cold start as three bars. */
function headline(shown: Shown): string {
  const { story, label, named } = shown;
  const { reference, best } = story;
  if (best === undefined) return '';
  const coldCase = story.all.find(isColdStart);
  const cold = coldCase === undefined ? reference.coldMs?.median : coldCase.verifiedMs.median;
  const bars = [
    { name: label(best.case), ms: best.verifiedMs.median, best: true },
    { name: label(reference.case), ms: reference.verifiedMs.median, remark: 'reference' },
    ...(cold === undefined || coldCase === reference ? [] : [{ name: 'cold start', ms: cold }]),
  ].map(({ name, ms, ...more }): Bar => {
    const color = more.best === true ? 'driver-0' : 'criu-1';
    return { name, segments: [{ name: 'total', ms, color }], ...more };
  });
  const scale =
    cold !== undefined && cold > reference.verifiedMs.median * MUCH_LONGER
      ? scaleTo(Math.max(reference.verifiedMs.median, best.verifiedMs.median))
      : brokenScale(
          bars.map(({ segments }) => segments[0]?.ms ?? 0),
          Infinity,
        );
  return barChart(`From the restore command to: ${measureName(named.result)}`, bars, {
    few: scale,
    all: scale,
  });
}

function phaseBars(shown: Shown, what: 'dump' | 'restore'): { bars: Bar[]; phases: PhaseColor[] } {
  const { result } = shown.named;
  const { phases, of } = phasesOf(result, what);
  const bars = shown.story.all.flatMap((one): Bar[] => {
    const segments = phases.map(({ name, color }): Segment => ({ name, color, ms: of(one.case, name) }));
    if (segments.every(({ ms }) => ms === 0)) return [];
    const note = remark(shown, one.case);
    return [
      {
        name: shown.label(one.case),
        segments,
        total: what === 'dump' ? one.dumpMs.median : one.verifiedMs.median,
        ...marks(shown, one.case),
        ...(note === undefined ? {} : { remark: note }),
      },
    ];
  });
  return { bars: bars.sort((a, b) => (a.total ?? 0) - (b.total ?? 0)), phases };
}

function phaseSection(shown: Shown, what: 'dump' | 'restore'): string {
  const { bars, phases } = phaseBars(shown, what);
  if (bars.length === 0) return '';
  const title =
    what === 'dump'
      ? 'Dump, median of each phase'
      : `From the restore command to: ${measureName(shown.named.result)}, median of each phase`;
  const id = `${shown.id}-${what}-phases`;
  const head = ['case', ...phases.map(({ name }) => `${name}, s`), 'total, s'];
  const rows = bars.map(({ name, segments, total = 0, more = false, best = false }): Row => ({
    more,
    best,
    cells: [name, ...segments.map(({ ms }) => seconds(ms)), seconds(total)],
  }));
  const columns = columnsOf(
    head,
    rows.map(({ cells }) => cells),
    'total, s',
  );
  const table = dataTable({ id, caption: `${title} (seconds)`, columns, rows });
  return `<section>${heading(shown, `Where the time of a ${what} goes`)}${barChart(title, bars, undefined, ROUGHLY)}<details><summary>The same as a table</summary>${table}</details></section>`;
}

function resultSection(shown: Shown): string {
  const { named, label, id, story } = shown;
  const { head, rows, note } = resultCells(named.result);
  const place = new Map(story.all.map((one, index) => [one.case, index]));
  const inOrder = [...rows].sort(([a = ''], [b = '']) => (place.get(a) ?? 0) - (place.get(b) ?? 0));
  const table = dataTable({
    id: `${id}-cases`,
    caption: 'Medians of each case',
    columns: columnsOf(head, rows, 'library, s'),
    rows: inOrder.map(([name = '', ...cells]) => ({
      cells: [label(name), ...cells],
      ...marks(shown, name),
    })),
  });
  return `<section>${heading(shown, 'Cases')}${table}<p class="note">${escapeHtml(note)}.</p></section>`;
}

/** What a person waits for beside what the library takes; empty for results without typed times. */
function typedSection(shown: Shown): string {
  const bars = shown.story.all.flatMap((one): Bar[] => {
    if (one.typedMs === undefined || isColdStart(one)) return [];
    const name = shown.label(one.case);
    const part = (what: string, ms: number, color: string): Segment[] => [{ name: what, ms, color }];
    return [
      { name, segments: part('typed', one.typedMs.median, 'criu-3'), ...marks(shown, one.case) },
      {
        name: `${name}, library`,
        segments: part('library', one.verifiedMs.median, 'criu-2'),
        second: true,
        ...marks(shown, one.case),
      },
    ];
  });
  if (bars.length === 0) return '';
  return `<section>${heading(shown, 'Typed, and in the library')}${barChart('A restore typed as a command, and what of it the library took', bars)}<p class="note">Typed: from before the start of criu-cuda. Library: from its call of the library. The difference is the start of the program.</p></section>`;
}

function runsSection(shown: Shown): string {
  const cases = shown.story.all.map((one) => ({
    name: shown.label(one.case),
    values: valuesOf(shown.named.result.samples, one.case, 'verifiedMs'),
    ...marks(shown, one.case),
  }));
  if (cases.every(({ values }) => values.length < 2)) return '';
  return `<section>${heading(shown, 'Every run')}${runsChart(`From the restore command to: ${measureName(shown.named.result)}`, cases)}</section>`;
}

function originSection(shown: Shown): string {
  const { named, id } = shown;
  const { command, recorded } = commandOf(named.result);
  const facts = environmentCells(named.result);
  const note = recorded
    ? 'This is what was typed.'
    : 'The result is of a version that did not keep its command: this one measures the same, with --upstream, --url and --output as on your machine.';
  const text = facts.map(([what, value]) => `${what}: ${value}`).join('\n');
  return `<section>${heading(shown, 'Where and how it was measured')}<p class="note">${note}</p>${copyable(`${id}-command`, 'command', command)}${copyable(`${id}-facts`, 'environment', text)}</section>`;
}

function keyList(result: NamedResult['result']): string {
  const entries = settingsKey(result).map(
    ([word, meaning]) => `<dt>${escapeHtml(word)}</dt><dd>${escapeHtml(meaning)}</dd>`,
  );
  return entries.length === 0 ? '' : `<dl class="key">${entries.join('')}</dl>`;
}

/** One result, from its sentence to its command. @param tag of the sentence: it is the title if there is one result */
export function resultPart(named: NamedResult, tag: 'h1' | 'h2'): string {
  const { result } = named;
  const shown: Shown = {
    named,
    story: storyOf(result),
    label: caseLabels(result),
    id: slug(named.name),
    level: tag === 'h1' ? 2 : 3,
  };
  const { sentence, where, compared, trust } = leadOf(result);
  const { all, few } = shown.story;
  const hidden = all.length - few.length;
  const button =
    hidden === 0
      ? ''
      : `<p class="views"><button type="button" data-shows="${shown.id}" aria-pressed="false">All ${all.length} cases</button><span class="note few">Shown: the quickest, the reference and the cold start; ${hidden} more were measured.</span></p>`;
  const maps = heatTables(
    heading(shown, `Threads × chunk: ${measureName(result)}, seconds`),
    heatMaps(result),
    shown.id,
  );
  return [
    `<div id="${shown.id}" data-view="few">`,
    tag === 'h2' ? `<h2>${escapeHtml(named.name)}</h2>` : '',
    `<${tag === 'h1' ? 'h1' : 'p'} class="lead">${escapeHtml(sentence)}</${tag === 'h1' ? 'h1' : 'p'}>`,
    `<p class="where">${escapeHtml(where)}</p><p class="note">${escapeHtml(compared)}</p>`,
    headline(shown),
    `<p class="trust">${escapeHtml(trust)}.</p>`,
    keyList(result),
    button,
    resultSection(shown),
    phaseSection(shown, 'restore'),
    typedSection(shown),
    runsSection(shown),
    maps,
    phaseSection(shown, 'dump'),
    originSection(shown),
    '</div>',
  ].join('\n');
}
