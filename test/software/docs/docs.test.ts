// SPDX-License-Identifier: MIT
/** Every command of docs/ that is not marked, typed in the order of its page. tasks.test.ts does README.md. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { pages, shellBlocks } from '../../helpers/shell-blocks.ts';
import { Reader } from './reader.ts';
import { Terminal } from './terminal.ts';

const TIMEOUT_MS = 300_000;
let terminal: Terminal;

beforeEach(async () => {
  terminal = await Terminal.open();
});
afterEach(() => terminal.close());

const typed = pages
  .filter((page) => page !== 'README.md')
  .map((page) => ({ page, blocks: shellBlocks(page).filter(({ mark }) => mark === undefined) }))
  .filter(({ blocks }) => blocks.length > 0);

it.each(typed)(
  '$page',
  async ({ blocks }) => {
    const reader = new Reader(terminal);
    for (const block of blocks) await reader.read(block);
    expect(terminal.transcript).not.toBe('');
  },
  TIMEOUT_MS,
);
