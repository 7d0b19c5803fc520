// SPDX-License-Identifier: MIT
/**
 * The charts of a report as options of the charting library: plain data, so that a page can contain them and a
 * program can draw them without a browser.
 * @module
 */
import type { BarSeriesOption, EChartsOption } from 'echarts';
import type { ChartOption } from './echarts.ts';
import { valuesOf } from '../benchmark/index.ts';
import {
  boxOf,
  heatMaps,
  measureNames,
  phaseMedians,
  untilVerified,
  type HeatMap,
  type PhaseMedian,
} from './figures.ts';
import { deviceBytes, type Comparison, type NamedResult, type BenchmarkReport } from './model.ts';

export interface Chart {
  /** Unique in the report, and usable as an id and a file name. */
  id: string;
  title: string;
  /** CSS pixels. */
  height: number;
  option: ChartOption;
}

const BAR_HEIGHT = 34;
/** A phase this many times shorter than the longest one is narrower than a pixel. */
const INVISIBLE = 1000;
const AXES_HEIGHT = 140;
/** Shades of one color for each part, readable on light and dark backgrounds. */
const palette: Readonly<Record<PhaseMedian['part'], readonly string[]>> = {
  criu: ['#2f6db5', '#5b94d6', '#8fb8e8', '#1f4f87', '#a9c9ee'],
  driver: ['#3c9a5f', '#67bd87', '#98d8b0', '#2a7346'],
  plugin: ['#d98a2b', '#ecb066'],
  podman: ['#c05a5a'],
  application: ['#8c6bb1', '#b79bd4'],
};

const round = (ms: number): number => Math.round(ms * 100) / 100;
const named = { nameLocation: 'middle', nameGap: 28 } as const;
const milliseconds = { type: 'value', name: 'ms', min: 0, ...named } as const;
/** Room on the left: without a browser, labels cannot be measured. */
const grid = { left: 30, right: 30, bottom: 44, containLabel: true } as const;
/** Colors of cases, distinguishable on light and dark backgrounds and for color-blind readers. */
const color = ['#2f6db5', '#d98a2b', '#3c9a5f', '#8c6bb1', '#c05a5a', '#5b94d6', '#ecb066', '#67bd87'];

export function slug(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
}

function phaseSeries(result: NamedResult['result'], what: 'dump' | 'restore'): BarSeriesOption[] {
  const perCase = result.summaries.map((one) => phaseMedians(result, one.case, what));
  const longest = Math.max(...perCase.flat().map(({ ms }) => ms));
  const all = perCase.flat().filter(({ ms }) => ms >= longest / INVISIBLE);
  // phases of the application come last, with its verification at the very end, no matter which cases have which
  // phases
  const place = ({ part, name }: PhaseMedian): number =>
    name === untilVerified ? 2 : Number(part === 'application');
  const inOrder = all.sort((a, b) => place(a) - place(b));
  const phases = new Map(inOrder.map((phase) => [phase.name, phase.part]));
  const used: Partial<Record<PhaseMedian['part'], number>> = {};
  return [...phases].map(([name, part]): BarSeriesOption => {
    const shade = used[part] ?? 0;
    used[part] = shade + 1;
    return {
      name,
      type: 'bar',
      stack: 'all',
      barMaxWidth: 26,
      itemStyle: { color: palette[part][shade % palette[part].length] ?? '#888888' },
      data: perCase.map((phasesOfCase) => round(phasesOfCase.find((one) => one.name === name)?.ms ?? 0)),
    };
  });
}

function phasesChart({ name, result }: NamedResult, what: 'dump' | 'restore'): Chart {
  const cases = result.summaries.map((one) => one.case);
  const option: EChartsOption = {
    aria: { enabled: true },
    tooltip: { trigger: 'axis', axisPointer: { type: 'shadow' } },
    legend: { top: 0 },
    grid: { ...grid, top: 70 },
    xAxis: milliseconds,
    yAxis: { type: 'category', data: cases, inverse: true },
    series: phaseSeries(result, what),
  };
  return {
    id: slug(`${name} ${what} phases`),
    title: what === 'dump' ? 'Dump, median of each phase' : 'Restore to verified, median of each phase',
    height: AXES_HEIGHT + 20 + BAR_HEIGHT * cases.length,
    option,
  };
}

/** What a person waits for beside what the library takes; `undefined` for results without typed times. */
function typedChart({ name, result }: NamedResult): Chart | undefined {
  const summaries = result.summaries.filter((one) => one.typedMs);
  if (summaries.length === 0) return undefined;
  const option: EChartsOption = {
    aria: { enabled: true },
    tooltip: { trigger: 'axis', axisPointer: { type: 'shadow' } },
    legend: { top: 0 },
    grid: { ...grid, top: 40 },
    color,
    xAxis: milliseconds,
    yAxis: { type: 'category', data: summaries.map((one) => one.case), inverse: true },
    series: [
      { name: 'typed', type: 'bar', data: summaries.map((one) => round(one.typedMs?.median ?? 0)) },
      { name: 'library', type: 'bar', data: summaries.map((one) => round(one.verifiedMs.median)) },
    ],
  };
  return {
    id: slug(`${name} typed`),
    title: 'Restore to verified: typed as a command, and in the library',
    height: AXES_HEIGHT + 2 * BAR_HEIGHT * summaries.length,
    option,
  };
}

function distributionChart({ name, result }: NamedResult): Chart {
  const cases = result.summaries.map((one) => one.case);
  const values = cases.map((one) => valuesOf(result.samples, one, 'verifiedMs'));
  const option: EChartsOption = {
    aria: { enabled: true },
    tooltip: { trigger: 'item' },
    legend: { top: 0 },
    grid: { ...grid, top: 40 },
    xAxis: milliseconds,
    yAxis: { type: 'category', data: cases, inverse: true },
    series: [
      {
        name: 'quartiles',
        type: 'boxplot',
        layout: 'vertical',
        itemStyle: { color: 'transparent', borderColor: '#2f6db5' },
        data: values.map((one) => {
          const box = boxOf(one);
          return [box.min, box.q1, box.median, box.q3, box.max].map(round);
        }),
      },
      {
        name: 'runs',
        type: 'scatter',
        symbolSize: 6,
        itemStyle: { color: '#d98a2b' },
        data: values.flatMap((one, index) => one.map((ms) => [round(ms), index])),
      },
    ],
  };
  return {
    id: slug(`${name} distribution`),
    title: 'Restore to verified, every run',
    height: AXES_HEIGHT + BAR_HEIGHT * cases.length,
    option,
  };
}

function heatChart({ name }: NamedResult, map: HeatMap): Chart {
  const data = map.cells.flatMap((row, y) =>
    row.flatMap((ms, x) => (ms === undefined ? [] : [[x, y, round(ms)] as [number, number, number]])),
  );
  const times = data.map(([, , ms]) => ms);
  const option: EChartsOption = {
    aria: { enabled: true },
    tooltip: { trigger: 'item' },
    grid: { ...grid, top: 34, bottom: 90 },
    xAxis: { type: 'category', name: 'chunk, MiB', ...named, data: map.chunksMb },
    yAxis: { type: 'category', name: 'streams', data: map.streams },
    visualMap: {
      min: Math.min(...times),
      max: Math.max(...times),
      orient: 'horizontal',
      left: 'center',
      bottom: 0,
      calculable: true,
      // dark text is readable on these colors, on light and dark pages
      inRange: { color: ['#8fc1a9', '#f2e8cf', '#e9a178'] },
    },
    series: [
      {
        name: 'restore to verified, ms',
        type: 'heatmap',
        data,
        label: { show: true, color: '#111111' },
      },
    ],
  };
  return {
    id: slug(`${name} heat ${map.title}`),
    title: `Streams × chunk: restore to verified, ms (${map.title})`,
    height: 190 + 40 * map.streams.length,
    option,
  };
}

/** Restore time against device memory for all results, and the least time that the hardware allows. */
function sizeChart(report: BenchmarkReport): Chart | undefined {
  const points = new Map<string, [number, number][]>();
  for (const { result } of report.results) {
    const bytes = deviceBytes(result);
    if (bytes === undefined) continue;
    for (const { case: name, verifiedMs } of result.summaries) {
      points.set(name, [...(points.get(name) ?? []), [round(bytes / 2 ** 30), round(verifiedMs.median)]]);
    }
  }
  const largest = Math.max(...[...points.values()].flat().map(([gib]) => gib));
  if (points.size === 0) return undefined;
  const { limits } = report;
  const option: EChartsOption = {
    aria: { enabled: true },
    tooltip: { trigger: 'item' },
    legend: { type: 'scroll', top: 0 },
    grid: { ...grid, top: 50 },
    color,
    xAxis: { type: 'value', name: 'device memory, GiB', ...named, min: 0 },
    yAxis: { type: 'value', name: 'ms', min: 0 },
    series: [
      ...[...points].map(([name, data]) => ({ name, type: 'scatter' as const, symbolSize: 10, data })),
      ...(limits === undefined
        ? []
        : [
            {
              name: `PCIe, ${limits.limits.pcie.toFixed(1)} GB/s`,
              type: 'line' as const,
              symbol: 'none',
              lineStyle: { type: 'dashed' as const },
              data: [
                [0, 0],
                [largest, round((largest * 2 ** 30) / limits.limits.pcie / 1e6)],
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
  const cases = now.result.summaries.filter((one) =>
    before.result.summaries.some((other) => other.case === one.case),
  );
  const medians = (summaries: NamedResult['result']['summaries']): number[] =>
    cases.map(({ case: name }) => round(summaries.find((one) => one.case === name)?.verifiedMs.median ?? 0));
  const option: EChartsOption = {
    aria: { enabled: true },
    tooltip: { trigger: 'axis', axisPointer: { type: 'shadow' } },
    legend: { top: 0 },
    grid: { ...grid, top: 40 },
    color,
    xAxis: milliseconds,
    yAxis: { type: 'category', data: cases.map((one) => one.case), inverse: true },
    series: [
      {
        name: `before (${before.result.environment.date.slice(0, 10)})`,
        type: 'bar',
        data: medians(before.result.summaries),
      },
      {
        name: `now (${now.result.environment.date.slice(0, 10)})`,
        type: 'bar',
        data: medians(now.result.summaries),
      },
    ],
  };
  return {
    id: slug(`${now.name} compared`),
    title: `${now.name}: ${measureNames.verifiedMs}, before and now`,
    height: AXES_HEIGHT + 2 * BAR_HEIGHT * cases.length,
    option,
  };
}

/** The charts of one result. */
export function resultCharts(named: NamedResult): Chart[] {
  const typed = typedChart(named);
  return [
    ...(typed ? [typed] : []),
    phasesChart(named, 'restore'),
    phasesChart(named, 'dump'),
    distributionChart(named),
    ...heatMaps(named.result).map((map) => heatChart(named, map)),
  ];
}

/** The charts of all results together. */
export function reportCharts(report: BenchmarkReport): Chart[] {
  const size = sizeChart(report);
  return [...(size ? [size] : []), ...report.comparisons.map(comparisonChart)];
}
