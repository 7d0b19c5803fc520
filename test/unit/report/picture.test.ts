// SPDX-License-Identifier: MIT
/** The README's picture is drawn from the newest result of a server: `node scripts/picture.mjs` draws it again. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { projectRoot } from '../../../lib/paths.ts';
import { chartSvg, loadReport, resultCharts } from '../../../lib/report/index.ts';

interface PictureScript {
  pictureFile: string;
  newestServerResult: () => string;
}

/** Classes have a number that is different for every chart that a process draws. */
const withoutNumbers = (svg: string): string => svg.replaceAll(/zr\d+-/g, 'zr-').trim();

it('the picture of the README shows the newest result of a server', async () => {
  const script = join(projectRoot, 'scripts', 'picture.mjs');
  const { pictureFile, newestServerResult } = (await import(script)) as PictureScript;
  const [named] = loadReport(newestServerResult()).results;
  const charts = named === undefined ? [] : resultCharts(named);
  const chart = charts.find(({ id }) => id.endsWith('restore-phases'));
  if (!chart) throw new Error('the newest result has no phases');
  expect(withoutNumbers(readFileSync(pictureFile, 'utf8'))).toBe(withoutNumbers(chartSvg(chart)));
});
