// SPDX-License-Identifier: MIT
/** The parts of docs/scale.md that are computed: tables and the chart, each between two comments. */
import { constants } from './constants.ts';
import type { Figure, Sensitivity } from './figures.ts';
import type { Comparison, RealConfig } from './real/cases.ts';
import { policies } from './simulate.ts';

/** The file benchmarks/results/storm.json. */
export interface StormFile {
  schemaVersion: 1;
  figures: Figure[];
  sensitivities: Sensitivity[];
  /** Real processes against the model. */
  real: { date: string; kernel: string; cpus: string; runs: { config: RealConfig; cases: Comparison[] }[] };
}

/** A name of a number for a table: three digits. */
export const three = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(3)));

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

const limits: Record<Figure['limit'], string> = {
  registry: "the registry's link",
  peers: 'what a node sends',
  network: 'what a node receives',
  verify: 'SHA-256 on the node',
  load: 'the link to the GPU',
  restore: 'CRIU and the driver',
};

const figureTable = (figures: readonly Figure[]): string =>
  table(
    ['nodes', 'policy', 'median, s', 'last, s', 'registry sends, GB', 'limited by'],
    figures.map(({ nodes, policy, medianS, lastS, registryGB, limit }) => [
      ...[nodes.toLocaleString('en-US'), policy, three(medianS), three(lastS), three(registryGB)],
      limits[limit],
    ]),
  );

/** A chart with the decimal logarithm of the seconds, because Mermaid has linear axes only. */
function chart(figures: readonly Figure[]): string {
  const counts = [...new Set(figures.map(({ nodes }) => nodes))];
  const highest = Math.ceil(Math.log10(Math.max(...figures.map(({ lastS }) => lastS))));
  const lines = policies.map((policy) => {
    const values = figures.filter((figure) => figure.policy === policy);
    return `  line "${policy}" [${values.map(({ lastS }) => Math.log10(lastS).toFixed(2)).join(', ')}]`;
  });
  return [
    '```mermaid',
    'xychart-beta',
    '  title "Until the last server runs: registry (top), peer, prefetch (bottom)"',
    `  x-axis "nodes" [${counts.map((count) => `"${count.toLocaleString('en-US')}"`).join(', ')}]`,
    `  y-axis "log10 of seconds: 0 is 1 s, 3 is 1,000 s" -1 --> ${highest}`,
    ...lines,
    '```',
  ].join('\n');
}

const measuredTable = (): string =>
  table(
    ['measured', 'value', 'source'],
    constants
      .filter(({ source }) => source !== undefined)
      .map(({ meaning, value, unit, source = '' }) => [meaning, `${three(value)} ${unit}`, source]),
  );

const pair = ([low, high]: readonly [number, number]): string => `${three(low)} – ${three(high)}`;

const assumptionTable = (found: readonly Sensitivity[]): string =>
  table(
    ['assumption', 'value', 'because', 'tried', ...policies.map((policy) => `${policy}, s`)],
    found.map(({ field, range, lastS }) => {
      const {
        meaning = field,
        value = 0,
        unit = '',
        because = '',
      } = constants.find((constant) => constant.field === field) ?? {};
      const times = policies.map((policy) => pair(lastS[policy]));
      return [meaning, `${three(value)} ${unit}`.trim(), because, pair(range), ...times];
    }),
  );

const megabits = (bitsPerS: number): string => three(bitsPerS / 1e6);

const realTable = (runs: StormFile['real']['runs']): string =>
  table(
    ['registry, node: Mbit/s', 'nodes', 'policy', 'measured, s', 'model, s', 'error', 'registry, peers: MB'],
    runs.flatMap(({ config, cases }) =>
      cases.map((one) => [
        `${megabits(config.registryBitsPerS)}, ${megabits(config.nodeBitsPerS)}`,
        ...[String(one.nodes), one.policy, three(one.measuredS), three(one.predictedS)],
        `${(one.error * 100).toFixed(1)} %`,
        `${three(one.registryBytes / 1e6)}, ${three(one.peerBytes / 1e6)}`,
      ]),
    ),
  );

/** The page with its computed parts: `<!-- storm: NAME -->` … `<!-- end -->`. @throws Error when a part is missing */
export function fillIn(page: string, { figures, sensitivities, real }: StormFile): string {
  const parts = {
    chart: chart(figures),
    figures: figureTable(figures),
    measured: measuredTable(),
    assumptions: assumptionTable(sensitivities),
    real: realTable(real.runs),
  };
  return Object.entries(parts).reduce((text, [name, part]) => {
    const place = new RegExp(`(<!-- storm: ${name} -->\n).*?(<!-- end -->)`, 's');
    if (!place.test(text)) throw new Error(`the page has no place "<!-- storm: ${name} -->"`);
    return text.replace(place, (_, before: string, after: string) => `${before}\n${part}\n\n${after}`);
  }, page);
}
