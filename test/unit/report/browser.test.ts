// SPDX-License-Identifier: MIT
/**
 * The page in a real browser: nothing is loaded, no error is reported, axe finds nothing, and every control works by
 * keyboard. CI keeps the pages and screenshots: CCR_ARTIFACTS.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BenchmarkResult } from '../../../lib/benchmark/index.ts';
import { findOnPath } from '../../../lib/machine/index.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { loadReport, reportHtml } from '../../../lib/report/index.ts';
import { environment, result, resultCase, sample } from '../../helpers/results.ts';

const browsers = ['chromium-headless-shell', 'chromium', 'google-chrome'];
const program = browsers.map((name) => findOnPath(name, process.env.PATH)).find((path) => path !== undefined);

/** The paper of A4 at 96 pixels an inch without the margins. */
const A4 = { width: 688, height: 980 };
const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 390, height: 844 };

/** A matrix of eight cells, and times that were typed, so that every kind of chart occurs. */
function matrix(): BenchmarkResult {
  const cases = [1, 8].flatMap((streams) =>
    [4, 8, 16, 32].map((chunkMb) =>
      resultCase(`parallel s${streams} c${chunkMb}`, { variant: 'parallel', streams, chunkMb, store: '/a' }),
    ),
  );
  const samples = cases.flatMap(({ name }, index) =>
    [0, 1, 2].map((round) => ({
      ...sample(name, round, 100 + 10 * index + round),
      typedMs: 200 + 10 * index + round,
    })),
  );
  const command = ['criu-cuda', 'bench', 'matrix', '--store', '/a'];
  return result({}, { cases, samples, environment: environment({ software: true }), command });
}

interface Violation {
  id: string;
  nodes: { html: string; failureSummary?: string }[];
}

const axeScript = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe finds, one line each: rule, element, why. */
async function violations(tab: Page): Promise<string[]> {
  await tab.evaluate(axeScript);
  const found = await tab.evaluate(
    `axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations)`,
  );
  return (found as Violation[]).flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary = '' }) => `${id}: ${html.slice(0, 160)}: ${failureSummary}`),
  );
}

/** The widths of the page and of the window. */
const widths = (tab: Page): Promise<[number, number]> =>
  tab.evaluate('[document.documentElement.scrollWidth, innerWidth]');

describe('the page of a report', () => {
  let dir: string;
  let browser: Browser | undefined;
  let complaints: string[];
  let requests: string[];
  const h200 = (): string => join(dir, 'h200-server.html');
  const soft = (): string => join(dir, 'report.html');

  beforeAll(async () => {
    dir = process.env.CCR_ARTIFACTS ?? mkdtempSync(join(tmpdir(), 'criu-cuda-page-'));
    const results = join(dir, 'results');
    mkdirSync(results, { recursive: true });
    writeFileSync(join(results, '<matrix>.json'), JSON.stringify(matrix()));
    writeFileSync(
      join(results, 'plain.json'),
      JSON.stringify({ ...matrix(), environment: environment({ software: true, kernel: '</script><b>' }) }),
    );
    writeFileSync(soft(), reportHtml(loadReport(results)));
    writeFileSync(h200(), reportHtml(loadReport(join(projectRoot, 'benchmarks/results/server-matrix'))));
    if (program !== undefined)
      browser = await chromium.launch({ executablePath: program, args: ['--no-sandbox'] });
  }, 60_000);
  beforeEach((context) => {
    if (!browser) context.skip(`no ${browsers.join(', ')} on PATH: apt-get install chromium-headless-shell`);
    complaints = [];
    requests = [];
  });
  afterAll(async () => {
    await browser?.close();
    if (process.env.CCR_ARTIFACTS === undefined) rmSync(dir, { recursive: true });
  });

  async function open(
    file: string,
    viewport = WIDE,
    colorScheme: 'light' | 'dark' = 'light',
    media: 'screen' | 'print' = 'screen',
  ): Promise<Page> {
    if (!browser) throw new Error('there is no browser');
    const tab = await browser.newPage({ viewport, colorScheme });
    tab.on('console', (message) => complaints.push(message.text()));
    tab.on('pageerror', (error) => complaints.push(error.message));
    tab.on('request', (request) => requests.push(request.url()));
    await tab.emulateMedia({ media, colorScheme });
    await tab.goto(pathToFileURL(file).href);
    return tab;
  }

  const appearances = [
    ['1280', WIDE, 'light', 'screen'],
    ['dark', WIDE, 'dark', 'screen'],
    ['390', NARROW, 'light', 'screen'],
    ['print', A4, 'light', 'print'],
    ['print-dark', A4, 'dark', 'print'],
  ] as const;
  for (const [name, viewport, colorScheme, media] of appearances) {
    it(`${name}: is clean for axe, fits the width, loads nothing`, async () => {
      const tab = await open(h200(), viewport, colorScheme, media);
      expect(await tab.locator('h1').innerText()).toBe('First token after 0.420 s instead of 5.459 s: 13.0×');
      expect(await violations(tab)).toEqual([]);
      const [page, window] = await widths(tab);
      expect(page).toBeLessThanOrEqual(window);
      await tab.screenshot({ path: join(dir, `h200-server-${name}.png`), fullPage: true });
      expect(complaints).toEqual([]);
      expect(requests).toHaveLength(1);
      await tab.close();
    });
  }

  it('is on A4 what it is on the screen, with every table open', async () => {
    const tab = await open(h200(), WIDE, 'dark');
    const pdf = await tab.pdf({ path: join(dir, 'h200-server.pdf'), preferCSSPageSize: true });
    const pages = pdf.toString('latin1').match(/\/Type\s*\/Page\b/g)?.length ?? 0;
    expect(pages).toBeGreaterThan(1);
    expect(pages).toBeLessThan(9);
    expect(await tab.locator('details:not([open])').count()).toBe(0);
    await tab.emulateMedia({ media: 'print', colorScheme: 'dark' });
    const shown = await tab.evaluate(
      `[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor, parseFloat(getComputedStyle(document.querySelector('td')).fontSize)]`,
    );
    expect(shown).toEqual(['rgb(27, 29, 33)', 'rgb(255, 255, 255)', expect.closeTo(10.7, 0)]);
    await tab.close();
  });

  it('shows all cases by keyboard, each with a bar as long as its time', async () => {
    const tab = await open(h200());
    const rows = tab.locator('#h200-cases tbody tr:visible');
    expect(await rows.count()).toBe(7);
    const button = tab.getByRole('button', { name: 'All 42 cases' });
    await button.focus();
    await tab.keyboard.press('Enter');
    expect(await button.getAttribute('aria-pressed')).toBe('true');
    expect(await rows.count()).toBe(42);
    // 1.893 s on an axis to 2 s
    const slow = `document.querySelector('[aria-label^="full, 16 threads, 256 MiB, no pool: 1.893 s; "]')`;
    const [bar = 0, track = 0] = await tab.evaluate<number[]>(
      `[...${slow}.querySelectorAll('.segment'), ${slow}].map((one) => one.getBoundingClientRect().width).reduce(([sum], width, index, all) => index < all.length - 1 ? [sum + width] : [sum, width], [0])`,
    );
    expect(bar / track).toBeCloseTo(1.893 / 2, 1);
    expect(await violations(tab)).toEqual([]);
    await tab.screenshot({ path: join(dir, 'h200-server-all.png'), fullPage: true });
    await tab.close();
  });

  it('sorts by keyboard, and says so', async () => {
    const tab = await open(h200());
    const first = tab.locator('#h200-cases tbody tr:visible th').first();
    expect(await first.innerText()).toBe('full, 8 threads, 8 MiB, pool');
    const heading = tab.locator('#h200-cases').getByRole('button', { name: 'dump, s', exact: true });
    await heading.focus();
    await tab.keyboard.press('Space');
    expect(await first.innerText()).toBe('full, 16 threads, 2 MiB, pool');
    expect(await tab.locator('#h200-cases th[aria-sort]').getAttribute('aria-sort')).toBe('ascending');
    expect(await tab.getByRole('status').innerText()).toBe('sorted by dump, s, ascending');
    await tab.keyboard.press('Space');
    expect(await first.innerText()).toBe('upstream');
    // cells without a value come last in both orders
    expect(await tab.locator('#h200-cases tbody tr:visible th').last().innerText()).toBe('cold start');
    await tab.close();
  });

  it('reaches everything with Tab, shows a tooltip for a bar that has the focus, and hides it with Escape', async () => {
    const tab = await open(h200());
    const reached = new Set<string>();
    for (let presses = 0; presses < 200; presses += 1) {
      await tab.keyboard.press('Tab');
      const name = await tab.evaluate<string>(
        `document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.slice(0, 40)`,
      );
      if (reached.has(name) && name === [...reached][0]) break;
      reached.add(name);
    }
    for (const name of ['All 42 cases', 'dump, s', 'The same as a table', 'Copy command', 'Copy environment'])
      expect([...reached]).toContain(name);
    const bar = tab.getByRole('img', { name: /^upstream: 5\.459 s; criu: restore 3\.712 s; / });
    await bar.focus();
    await tab.keyboard.press('Shift+Tab');
    await tab.keyboard.press('Tab');
    const tip = bar.locator('xpath=following-sibling::div');
    expect((await tip.innerText()).replaceAll(/\s+/g, ' ')).toMatch(
      /upstream criu: restore 3\.712 s .*total 5\.459 s/,
    );
    await tab.keyboard.press('Escape');
    expect(await tip.isVisible()).toBe(false);
    await tab.close();
  });

  it('copies the command', async () => {
    const tab = await open(soft());
    await tab.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await tab.getByRole('button', { name: 'Copy command' }).first().press('Enter');
    await tab.getByRole('status').filter({ hasText: 'copied' }).waitFor();
    expect(await tab.evaluate('navigator.clipboard.readText()')).toBe('criu-cuda bench matrix --store /a');
    await tab.close();
  });

  it('keeps the headings of a long table in sight', async () => {
    const tab = await open(h200());
    await tab.getByRole('button', { name: 'All 42 cases' }).click();
    const region = tab.getByRole('group', { name: 'Medians of each case' });
    await region.focus();
    for (let presses = 0; presses < 12; presses += 1) await tab.keyboard.press('ArrowDown');
    const box = `document.querySelector('.scroll:has(#h200-cases)')`;
    await expect.poll(() => tab.evaluate<number>(`${box}.scrollTop`)).toBeGreaterThan(100);
    const [top = 0, frame = 0] = await tab.evaluate<number[]>(
      `[${box}.querySelector('thead th'), ${box}].map((one) => one.getBoundingClientRect().top)`,
    );
    expect(Math.abs(top - frame)).toBeLessThan(2);
    await tab.close();
  });

  it('never takes the software driver for a GPU, and shows names as they are', async () => {
    const tab = await open(soft());
    expect(await tab.locator('.banner').innerText()).toContain('SOFTWARE DRIVER');
    expect(await tab.locator('h2').allInnerTexts()).toEqual(['<matrix>', 'plain']);
    expect(await tab.locator('pre', { hasText: '</script><b>' }).count()).toBe(1);
    const headings = await tab.locator('th').allTextContents();
    expect(headings.filter((text) => text.trim() === '')).toEqual([]);
    expect(await tab.getByRole('heading', { name: 'Typed, and in the library' }).count()).toBe(2);
    // both results have one size: a chart of sizes would say nothing
    expect(await tab.getByRole('heading', { name: 'Restore against device memory' }).count()).toBe(0);
    expect(await violations(tab)).toEqual([]);
    expect(complaints).toEqual([]);
    await tab.screenshot({ path: join(dir, 'report.png'), fullPage: true });
    await tab.close();
  });
});
