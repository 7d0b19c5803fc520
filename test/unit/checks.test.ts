// SPDX-License-Identifier: MIT
/** The table of what a dump refuses: docs/checks.md has what the C table has. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { lookProgram } from '../../lib/criu/index.ts';
import { exec } from '../../lib/exec.ts';
import { projectRoot } from '../../lib/paths.ts';
import { pluginVariants, variantDir } from '../../lib/variant.ts';

interface Kind {
  name: string;
  severity: string;
  text: string;
  remedy: string;
  carried: string;
}

const documented = readFileSync(join(projectRoot, 'docs', 'checks.md'), 'utf8')
  .split('\n')
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .filter(([, , severity = '']) => ['refuse', 'guess', 'warn'].includes(severity))
  .map(([, ...cells]) => cells.slice(0, 4));

it.each(pluginVariants)('%s refuses what docs/checks.md says', async (variant) => {
  const { stdout } = await exec(join(variantDir(variant), lookProgram), ['--kinds']);
  const kinds = (JSON.parse(stdout) as Kind[]).filter(({ carried }) => carried === '');
  expect(kinds.length).toBeGreaterThan(20);
  expect(documented).toEqual(kinds.map(({ name, severity, text, remedy }) => [name, severity, text, remedy]));
});
