// SPDX-License-Identifier: MIT
/**
 * The charts of a report in Markdown as options of the charting library: plain data, which a program draws without a
 * browser. Times are in seconds.
 * @module
 */
import type { BarSeriesOption, EChartsOption, XAXisComponentOption } from 'echarts';
import type { ChartOption } from './echarts.ts';
import { valuesOf, type CaseSummary } from '../benchmark/index.ts';
import { boxOf, heatMaps, phasesOf, seconds, type HeatMap } from './figures.ts';
import { deviceBytes, type Comparison, type NamedResult, type BenchmarkReport } from './model.ts';
import { brokenScale, type Scale } from './scale.ts';
import { caseLabels, isColdStart, measureName, storyOf } from './story.ts';

export interface Chart {
  /** Unique in the report, and usable as an id and a file name. */
  id: string;
  title: string;
  /** CSS pixels. */
  height: number;
  option: ChartOption;
}

const BAR_HEIGHT = 34;
const AXES_HEIGHT = 150;
/** Shades of one color for each part, readable on light and dark backgrounds; those of the page's style. */
const palette: Readonly<Record<string, readonly string[]>> = {
  criu: ['#2f6db5', '#5b94d6', '#8fb8e8', '#1f4f87', '#a9c9ee'],
  driver: ['#2e8550', '#67bd87', '#98d8b0', '#2a7346'],
  plugin: ['#d98a2b', '#ecb066'],
  podman: ['#c05a5a'],
  application: ['#8c6bb1', '#b79bd4'],
};

const inSeconds = (ms: number): number => Math.round(ms) / 1000;
/** Room on the left: without a browser, labels cannot be measured. */
const grid = { left: 30, right: 110, top: 30, bottom: 84, containLabel: true } as const;
/** Below the bars, in up to two lines. */
const legend = { bottom: 8 } as const;
/** Colors of cases, distinguishable on light and dark backgrounds and for color-blind readers. */
const color = ['#2f6db5', '#d98a2b', '#3c9a5f', '#8c6bb1', '#c05a5a', '#5b94d6', '#ecb066', '#67bd87'];

export function slug(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
}

/** `criu-0`, as a color. */
function paint(name: string): string {
  const [part = '', shade = '0'] = name.split('-');
  const shades = palette[part] ?? [];
  return shades[Number(shade) % Math.max(1, shades.length)] ?? '#888888';
}

/** An axis in seconds above the bars. */
function timeAxis({ max, step }: Scale): XAXisComponentOption {
  return { type: 'value', name: 's', position: 'top', min: 0, max: max / 1000, interval: step / 1000 };
}

function barOptions(names: readonly string[], scale: Scale, series: BarSeriesOption[]): EChartsOption {
  return {
    aria: { enabled: true },
    legend: { ...legend, data: series.flatMap(({ name }) => (name === undefined ? [] : [String(name)])) },
    grid,
    color,
    xAxis: timeAxis(scale),
    yAxis: { type: 'category', data: [...names], inverse: true },
    series,
  };
}

interface BarRow {
  name: string;
  /** Milliseconds of each series. */
  values: readonly number[];
  /** Milliseconds. */
  total: number;
}

/** What of each value is within the axis when they are stacked. */
function within(values: readonly number[], max: number): number[] {
  let sum = 0;
  return values.map((value) => {
    const shown = Math.max(0, Math.min(value, max - sum));
    sum += value;
    return shown;
  });
}

/** Bars of segments with their total at the end; a bar that is longer than the axis says so there. */
function stackedChart(
  id: string,
  title: string,
  rows: readonly BarRow[],
  series: readonly { name: string; color: string }[],
): Chart {
  const scale = brokenScale(rows.map(({ total }) => total));
  const cut = rows.map(({ values }) => within(values, scale.max));
  const stacked = series.map(({ name, color: named }, index): BarSeriesOption => ({
    name,
    type: 'bar',
    stack: 'all',
    barMaxWidth: 26,
    itemStyle: { color: paint(named) },
    data: cut.map((values) => inSeconds(values[index] ?? 0)),
  }));
  const totals: BarSeriesOption = {
    type: 'bar',
    stack: 'all',
    data: rows.map(({ total }) => ({
      value: 0,
      label: {
        show: true,
        position: 'right',
        color: '#1b1d21',
        formatter: `${total > scale.max ? '≫ ' : ''}${seconds(total)} s`,
      },
    })),
  };
  const names = rows.map(({ name }) => name);
  return {
    id: slug(id),
    title,
    height: AXES_HEIGHT + BAR_HEIGHT * rows.length,
    option: barOptions(names, scale, [...stacked, totals]),
  };
}

/** Two bars for each name, with their values at their ends. */
function pairedChart(
  id: string,
  title: string,
  rows: readonly { name: string; values: readonly [number, number] }[],
  [first, second]: readonly [string, string],
): Chart {
  const scale = brokenScale(rows.flatMap(({ values }) => [...values]));
  const series = [first, second].map((name, index): BarSeriesOption => ({
    name,
    type: 'bar',
    label: { show: true, position: 'right', formatter: '{c} s', color: '#1b1d21' },
    data: rows.map(({ values }) => inSeconds(values[index] ?? 0)),
  }));
  const names = rows.map(({ name }) => name);
  return {
    id: slug(id),
    title,
    height: AXES_HEIGHT + 2 * BAR_HEIGHT * rows.length,
    option: barOptions(names, scale, series),
  };
}

function phasesChart({ name, result }: NamedResult, what: 'dump' | 'restore'): Chart {
  const { phases, of } = phasesOf(result, what);
  const label = caseLabels(result);
  const total = (one: CaseSummary): number => (what === 'dump' ? one.dumpMs : one.verifiedMs).median;
  const rows = storyOf(result)
    .few.filter((one) => what === 'restore' || !isColdStart(one))
    .sort((a, b) => total(a) - total(b))
    .map((one) => ({
      name: label(one.case),
      values: phases.map((phase) => of(one.case, phase.name)),
      total: total(one),
    }));
  const title =
    what === 'dump'
      ? 'Dump, median of each phase'
      : `Restore until ${measureName(result)}, median of each phase`;
  return stackedChart(`${name} ${what} phases`, title, rows, phases);
}

/** What a person waits for beside what the library takes; `undefined` for results without typed times. */
function typedChart({ name, result }: NamedResult): Chart | undefined {
  const label = caseLabels(result);
  const rows = storyOf(result).few.flatMap(({ case: one, typedMs, verifiedMs }) =>
    typedMs === undefined ? [] : [{ name: label(one), values: [typedMs.median, verifiedMs.median] as const }],
  );
  if (rows.length === 0) return undefined;
  const title = 'Restore to verified: typed as a command, and in the library';
  return pairedChart(`${name} typed`, title, rows, ['typed', 'library']);
}

function distributionChart({ name, result }: NamedResult): Chart {
  const { few } = storyOf(result);
  const label = caseLabels(result);
  const values = few.map((one) => valuesOf(result.samples, one.case, 'verifiedMs'));
  const scale = brokenScale(values.map((one) => Math.max(...one)));
  const isBeyond = (index: number): boolean => Math.max(...(values[index] ?? [])) > scale.max;
  const option: EChartsOption = {
    aria: { enabled: true },
    legend,
    grid,
    xAxis: timeAxis(scale),
    yAxis: {
      type: 'category',
      data: few.map(
        (one, index) =>
          `${label(one.case)}${isBeyond(index) ? ` (≫ ${seconds(one.verifiedMs.median)} s)` : ''}`,
      ),
      inverse: true,
    },
    series: [
      {
        name: 'quartiles',
        type: 'boxplot',
        layout: 'vertical',
        itemStyle: { color: 'transparent', borderColor: '#2f6db5' },
        data: values.map((one) => {
          const box = boxOf(one);
          return [box.min, box.q1, box.median, box.q3, box.max].map(inSeconds);
        }),
      },
      {
        name: 'runs',
        type: 'scatter',
        symbolSize: 6,
        itemStyle: { color: '#d98a2b' },
        data: values.flatMap((one, index) => one.map((ms) => [inSeconds(ms), index])),
      },
    ],
  };
  return {
    id: slug(`${name} distribution`),
    title: `Restore until ${measureName(result)}, every run`,
    height: AXES_HEIGHT + BAR_HEIGHT * few.length,
    option,
  };
}

function heatChart({ name, result }: NamedResult, map: HeatMap, [min, max]: [number, number]): Chart {
  const data = map.cells.flatMap((row, y) =>
    row.flatMap((ms, x) => (ms === undefined ? [] : [[x, y, inSeconds(ms)] as [number, number, number]])),
  );
  const option: EChartsOption = {
    aria: { enabled: true },
    grid: { ...grid, right: 30, bottom: 90 },
    xAxis: {
      type: 'category',
      name: 'chunk, MiB',
      nameLocation: 'middle',
      nameGap: 28,
      data: map.chunksMb,
    },
    yAxis: { type: 'category', name: 'threads', data: map.streams },
    visualMap: {
      min: inSeconds(min),
      max: inSeconds(max),
      precision: 3,
      orient: 'horizontal',
      left: 'center',
      bottom: 0,
      calculable: true,
      // dark text is readable on these colors, on light and dark pages
      inRange: { color: ['#8fc1a9', '#f2e8cf', '#e9a178'] },
    },
    series: [
      {
        name: `restore until ${measureName(result)}, s`,
        type: 'heatmap',
        data,
        label: { show: true, color: '#111111' },
      },
    ],
  };
  return {
    id: slug(`${name} heat ${map.title}`),
    title: `Threads × chunk: restore until ${measureName(result)}, s (${map.title})`,
    height: 190 + 40 * map.streams.length,
    option,
  };
}

/** Restore time against device memory; `undefined` for results of one size, about which it would say nothing. */
function sizeChart(report: BenchmarkReport): Chart | undefined {
  const points = new Map<string, [number, number][]>();
  for (const { result } of report.results) {
    const bytes = deviceBytes(result);
    if (bytes === undefined) continue;
    for (const { case: name, verifiedMs } of storyOf(result).few) {
      const label = caseLabels(result)(name);
      points.set(label, [
        ...(points.get(label) ?? []),
        [Math.round((bytes / 2 ** 30) * 100) / 100, inSeconds(verifiedMs.median)],
      ]);
    }
  }
  const sizes = new Set([...points.values()].flat().map(([gib]) => gib));
  if (sizes.size < 2) return undefined;
  const largest = Math.max(...sizes);
  const { limits } = report;
  const pcie = limits?.limits.pcie;
  const option: EChartsOption = {
    aria: { enabled: true },
    legend: { ...legend, type: 'scroll' },
    grid: { ...grid, right: 30 },
    color,
    xAxis: { type: 'value', name: 'device memory, GiB', nameLocation: 'middle', nameGap: 28, min: 0 },
    yAxis: { type: 'value', name: 's', min: 0 },
    series: [
      ...[...points].map(([name, data]) => ({ name, type: 'scatter' as const, symbolSize: 10, data })),
      ...(pcie === undefined
        ? []
        : [
            {
              name: `PCIe, ${pcie.toFixed(1)} GB/s`,
              type: 'line' as const,
              symbol: 'none',
              lineStyle: { type: 'dashed' as const },
              data: [
                [0, 0],
                [largest, inSeconds((largest * 2 ** 30) / pcie / 1e6)],
              ],
            },
          ]),
    ],
  };
  return {
    id: 'restore-against-size',
    title: 'Restore to verified against device memory',
    height: 380,
    option,
  };
}

function comparisonChart({ now, before }: Comparison): Chart {
  const label = caseLabels(now.result);
  const rows = now.result.summaries.flatMap((one) => {
    const other = before.result.summaries.find((summary) => summary.case === one.case);
    if (!other) return [];
    const values = [other.verifiedMs.median, one.verifiedMs.median] as const;
    return [{ name: label(one.case), values }];
  });
  const day = ({ result }: NamedResult): string => result.environment.date.slice(0, 10);
  const title = `${now.name}: restore to verified, before and now`;
  const names = [`before (${day(before)})`, `now (${day(now)})`] as const;
  return pairedChart(`${now.name} compared`, title, rows, names);
}

/** The charts of one result. */
export function resultCharts(named: NamedResult): Chart[] {
  const typed = typedChart(named);
  const maps = heatMaps(named.result);
  const times = maps.flatMap(({ cells }) => cells.flat()).filter((ms) => ms !== undefined);
  const range: [number, number] = [Math.min(...times), Math.max(...times)];
  const isRepeated = named.result.summaries.some(({ verifiedMs }) => verifiedMs.n > 1);
  return [
    phasesChart(named, 'restore'),
    ...(typed ? [typed] : []),
    phasesChart(named, 'dump'),
    ...(isRepeated ? [distributionChart(named)] : []),
    ...maps.map((map) => heatChart(named, map, range)),
  ];
}

/** The charts of all results together. */
export function reportCharts(report: BenchmarkReport): Chart[] {
  const size = sizeChart(report);
  return [...(size ? [size] : []), ...report.comparisons.map(comparisonChart)];
}
