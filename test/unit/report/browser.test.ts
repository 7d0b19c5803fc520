// SPDX-License-Identifier: MIT
/** The page in a real browser: charts are drawn, nothing is loaded, no error is reported. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BenchmarkResult } from '../../../lib/benchmark/index.ts';
import { loadReport, reportHtml } from '../../../lib/report/index.ts';
import { findOnPath } from '../../../lib/machine/index.ts';
import { environment, result, resultCase, sample } from '../../helpers/results.ts';

const browsers = ['chromium-headless-shell', 'chromium', 'google-chrome'];
const program = browsers.map((name) => findOnPath(name, process.env.PATH)).find((path) => path !== undefined);

/** A matrix of four cells, so that every kind of chart occurs. */
function matrix(): BenchmarkResult {
  const cases = [1, 8].flatMap((streams) =>
    [4, 32].map((chunkMb) =>
      resultCase(`parallel s${streams} c${chunkMb}`, { variant: 'parallel', streams, chunkMb, store: '/a' }),
    ),
  );
  const samples = cases.flatMap(({ name }, index) =>
    [0, 1, 2].map((round) => sample(name, round, 100 + 10 * index + round)),
  );
  return result({}, { cases, samples, environment: environment({ software: true }) });
}

/** 0 for black, 1 for white. @param color `#rrggbb` or `rgb(r,g,b)` */
function brightness(color: string): number {
  const hex = (/^#(..)(..)(..)$/.exec(color) ?? []).slice(1).map((digits) => parseInt(digits, 16));
  const channels = hex.length === 3 ? hex : (color.match(/\d+/g) ?? []).map(Number);
  if (channels.length !== 3) throw new Error(`${color} is not a color that this test can parse`);
  return channels.reduce((sum, channel) => sum + channel, 0) / (3 * 255);
}

describe('the page of a report', () => {
  let dir: string;
  let browser: Browser | undefined;
  beforeAll(async () => {
    dir = process.env.CCR_ARTIFACTS ?? mkdtempSync(join(tmpdir(), 'criu-cuda-page-'));
    mkdirSync(dir, { recursive: true });
    if (program !== undefined)
      browser = await chromium.launch({ executablePath: program, args: ['--no-sandbox'] });
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    if (process.env.CCR_ARTIFACTS === undefined) rmSync(dir, { recursive: true });
  });

  for (const colorScheme of ['light', 'dark'] as const) {
    it(`draws every chart, ${colorScheme}`, { timeout: 60_000 }, async (context) => {
      if (!browser) {
        context.skip(`no ${browsers.join(', ')} on PATH: apt-get install chromium-headless-shell`);
        return;
      }
      const results = join(dir, 'results');
      mkdirSync(results, { recursive: true });
      writeFileSync(join(results, '<matrix>.json'), JSON.stringify(matrix()));
      writeFileSync(
        join(results, 'plain.json'),
        JSON.stringify({ ...matrix(), environment: environment({ software: true, kernel: '</script><b>' }) }),
      );
      const page = join(dir, `report-${colorScheme}.html`);
      writeFileSync(page, reportHtml(loadReport(results)));

      const tab = await browser.newPage({ colorScheme });
      const complaints: string[] = [];
      const requests: string[] = [];
      tab.on('console', (message) => complaints.push(message.text()));
      tab.on('pageerror', (error) => complaints.push(error.message));
      tab.on('request', (request) => requests.push(request.url()));
      await tab.goto(pathToFileURL(page).href);

      const charts = tab.locator('.chart');
      expect(await charts.count()).toBe(9);
      for (const chart of await charts.all())
        expect(await chart.locator('svg path').count()).toBeGreaterThan(3);
      expect(await tab.locator('.banner').innerText()).toContain('SOFTWARE DRIVER');
      expect(await tab.locator('h2').allInnerTexts()).toEqual(['<matrix>', 'plain']);
      expect(await tab.locator('td', { hasText: '</script><b>' }).count()).toBe(1);
      // text in charts is bright on dark, and dark on bright
      const fill = await charts.first().locator('svg text[fill]').first().getAttribute('fill');
      expect(brightness(fill ?? '') > 0.5).toBe(colorScheme === 'dark');
      expect(complaints).toEqual([]);
      expect(requests).toHaveLength(1);
      await tab.screenshot({ path: join(dir, `report-${colorScheme}.png`), fullPage: true });
      await tab.close();
    });
  }
});
