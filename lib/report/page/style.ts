// SPDX-License-Identifier: MIT
/**
 * The style of the page: light, dark, narrow, and on paper, where it is always light.
 * @module
 */

/** Colors of the parts of a bar, as pairs that differ in brightness too, and of the cells of a map. */
const colors = `
:root {
  color-scheme: light dark;
  --page: #fff; --text: #1b1d21; --quiet: #565b63; --line: #d5d8dd; --panel: #f4f5f7; --accent: #1a5fb4; --warn: #a3261e;
  --criu-0: #2f6db5; --criu-1: #5b94d6; --criu-2: #8fb8e8; --criu-3: #1f4f87; --criu-4: #a9c9ee;
  --driver-0: #2e8550; --driver-1: #67bd87; --driver-2: #98d8b0; --driver-3: #2a7346;
  --plugin-0: #d98a2b; --plugin-1: #ecb066; --podman-0: #c05a5a;
  --application-0: #8c6bb1; --application-1: #b79bd4;
  --heat-0: #7fc4a4; --heat-1: #a3d3b1; --heat-2: #c8e2c0; --heat-3: #eaeed0;
  --heat-4: #f6e3bd; --heat-5: #f3cfa0; --heat-6: #efb888; --heat-7: #e99f78;
}
@media screen and (prefers-color-scheme: dark) {
  :root { --page: #16181c; --text: #e8eaed; --quiet: #aab0b8; --line: #3c4149; --panel: #20242a; --accent: #8ab8f5; --warn: #b3362d; }
}
@media print { :root { color-scheme: light; } }
`;

const layout = `
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: var(--text); background: var(--page); max-width: 74rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1, .lead { font-size: clamp(1.4rem, 1rem + 2vw, 2.1rem); line-height: 1.25; font-weight: 650; margin: 0 0 .5rem; text-wrap: balance; }
h2 { margin: 3rem 0 .5rem; font-size: 1.4rem; }
h3, h2.part { margin: 2.25rem 0 .25rem; font-size: 1.1rem; }
.where { font-size: 1.1rem; margin: 0; }
.note, .trust { color: var(--quiet); margin: .35rem 0; text-wrap: pretty; }
.banner { background: var(--warn); color: #fff; font-weight: 600; padding: .75rem 1rem; border-radius: .4rem; }
button { font: inherit; color: inherit; background: var(--panel); border: 1px solid var(--line); border-radius: .35rem; padding: .3rem .8rem; cursor: pointer; }
button:hover { border-color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.key { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .5rem 0; padding: .75rem 1rem; background: var(--panel); border-radius: .4rem; }
.key dt { font-weight: 600; } .key dd { margin: 0; }
.views { margin: 2rem 0 0; display: flex; gap: 1rem; align-items: center; flex-wrap: wrap; }
[data-view=few] .more, [data-view=few] .all, [data-view=all] .few { display: none; }
code, pre { font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { background: var(--panel); padding: .75rem 1rem; border-radius: .4rem; white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0; }
.copyable { margin: 1rem 0; }
`;

const charts = `
figure { margin: 1.25rem 0 1.5rem; }
figcaption { font-weight: 600; margin-bottom: .25rem; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; padding: 0; margin: .25rem 0 .5rem; font-size: .9rem; }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em; }
.bars { list-style: none; margin: 0; padding: 0; }
.case { display: grid; grid-template-columns: 17rem 1fr; align-items: center; }
.axis { display: grid; grid-template-columns: 1fr; margin-left: 17rem; padding-right: 5.5rem; font-size: .8rem; color: var(--quiet); }
.axis > div { position: relative; height: 1.3rem; }
.axis span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
.axis span:first-child { transform: none; }
.name { padding-right: 1rem; line-height: 1.2; overflow-wrap: anywhere; }
.name small { color: var(--quiet); }
.best .name, .best .total, tr.best > * { font-weight: 650; }
.plot { position: relative; padding-right: 5.5rem; }
[data-view=few] .plot { --max: var(--few); --step: var(--few-step); }
[data-view=all] .plot { --max: var(--all); --step: var(--all-step); }
.track { position: relative; height: 2rem; border-left: 1px solid var(--quiet); background: repeating-linear-gradient(to right, transparent 0, transparent calc(var(--step) - 1px), var(--line) calc(var(--step) - 1px), var(--line) var(--step)); }
.second .track { height: 1.5rem; } .second { margin-bottom: .5rem; }
.segments { position: absolute; inset: .3rem 0; display: flex; overflow: hidden; }
.segment { flex: none; height: 100%; width: calc(var(--ms) / var(--max) * 100%); }
.total { position: absolute; top: 50%; transform: translateY(-50%); margin-left: .5rem; background: var(--page); left: min(100%, calc(var(--ms) / var(--max) * 100%)); white-space: nowrap; font-variant-numeric: tabular-nums; }
[data-view=few] .broken-few .segments, [data-view=all] .broken-all .segments { clip-path: polygon(0 0, calc(91% - 4px) 0, 91% 25%, calc(91% - 8px) 50%, 91% 75%, calc(91% - 4px) 100%, calc(92% + 2px) 100%, calc(92% + 6px) 75%, calc(92% - 2px) 50%, calc(92% + 6px) 25%, calc(92% + 2px) 0, 100% 0, calc(100% - 5px) 25%, 100% 50%, calc(100% - 5px) 75%, 100% 100%, 0 100%, 0 0); }
.tip { display: none; position: absolute; z-index: 5; top: calc(100% + 4px); left: 1rem; grid-template-columns: auto auto; gap: .1rem 1.5rem; background: var(--page); border: 1px solid var(--quiet); border-radius: .4rem; padding: .5rem .75rem; box-shadow: 0 4px 16px #0003; pointer-events: none; font-size: .9rem; font-variant-numeric: tabular-nums; max-width: calc(100% - 1rem); }
.tip b { grid-column: 1 / -1; }
.tip span:nth-child(odd) { text-align: right; }
.plot:hover .tip, .track:focus-visible + .tip { display: grid; }
.no-tips .tip, .track.runs .few:empty { display: none !important; }
.runs > span { position: absolute; inset: 0; }
.runs > span > span { position: absolute; top: 50%; transform: translateY(-50%); }
.range { height: 1px; background: var(--quiet); } .box { height: 1.1rem; border: 1.5px solid var(--criu-0); border-radius: 2px; }
.median { width: 3px; margin-left: -1.5px; height: 1.4rem; background: var(--text); }
.point { width: 7px; height: 7px; margin-left: -3.5px; border-radius: 50%; background: var(--plugin-0); }
.runs > .beyond { padding: .3rem .5rem; color: var(--quiet); }
`;

const tables = `
.scroll { overflow: auto; max-height: 32rem; margin: .75rem 0; border-radius: .3rem; }
table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; font-size: .93rem; }
caption { text-align: left; font-weight: 600; padding-bottom: .35rem; position: sticky; left: 0; }
th, td { padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; font-weight: inherit; }
thead th { position: sticky; top: 0; z-index: 2; background: var(--page); font-weight: 600; vertical-align: bottom; }
tbody th { position: sticky; left: 0; z-index: 1; background: var(--page); white-space: nowrap; }
thead th:first-child { left: 0; z-index: 3; }
.number { text-align: right; } td.number { white-space: nowrap; }
thead button { border: 0; background: none; padding: 0 1.1em 0 0; position: relative; text-align: inherit; font-weight: 600; }
thead button::after { content: "\\2195" / ""; position: absolute; right: 0; opacity: .55; }
[aria-sort=ascending] button::after { content: "\\2191" / ""; opacity: 1; } [aria-sort=descending] button::after { content: "\\2193" / ""; opacity: 1; }
.maps { display: flex; flex-wrap: wrap; gap: 0 2.5rem; }
.heat td { text-align: right; padding: .45rem .8rem; color: #111; border: 1px solid var(--page); }
.heat thead th { text-align: right; padding-right: .8rem; }
.heat .quickest { outline: 2.5px solid var(--text); outline-offset: -3px; font-weight: 700; }
.ramp i { display: inline-block; width: 1.4rem; height: .9rem; vertical-align: -.05rem; }
.facts td { overflow-wrap: anywhere; }
details { margin: .75rem 0; } summary { cursor: pointer; font-weight: 600; }
`;

const narrow = `
@media screen and (max-width: 44rem) {
  .case { grid-template-columns: 1fr; margin-top: .35rem; } .axis { margin-left: 0; }
  .second { margin-top: 0; } .second .name { display: none; }
  .key { grid-template-columns: 1fr; gap: 0; } .key dd { margin: 0 0 .4rem; color: var(--quiet); }
  tbody th { min-width: 7rem; max-width: 9rem; white-space: normal; } table { font-size: .9rem; }
}
`;

const paper = `
@page { size: A4; margin: 14mm; }
@media print {
  body { font-size: 10.5pt; padding: 0; max-width: none; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .views, .copyable button, .tip { display: none !important; }
  .scroll { overflow: visible; max-height: none; } .case, tr, .key, .ramp { break-inside: avoid; } figcaption, h2, h3, caption { break-after: avoid; }
  .case { grid-template-columns: 14rem 1fr; } .axis { margin-left: 14rem; } .track { height: 1.6rem; }
  table { font-size: 8pt; } th, td { padding-right: .3rem; } tbody th { min-width: 6.5rem; white-space: normal; } .key { font-size: 9pt; }
  thead th, tbody th { position: static; } thead button { padding: 0; } thead button::after { content: none; }
  details > :not(summary) { display: block; } details::details-content { content-visibility: visible; display: block; }
}
`;

const palette = ['criu', 'driver', 'plugin', 'podman', 'application'].flatMap((part) =>
  Array.from({ length: 5 }, (_, index) => `.${part}-${index} { background: var(--${part}-${index}); }`),
);
const heat = Array.from({ length: 8 }, (_, index) => `.heat-${index} { background: var(--heat-${index}); }`);

/** The whole style sheet. */
export const style = [colors, layout, charts, tables, narrow, paper, ...palette, ...heat].join('\n');
