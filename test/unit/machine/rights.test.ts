// SPDX-License-Identifier: MIT
import { expect, it } from 'vitest';
import { checkRights } from '../../../lib/machine/index.ts';

const status = (capabilities: string): string =>
  `Name:\tnode\nCapEff:\t${capabilities}\nCapBnd:\t000001ffffffffff\n`;

it.each(['000001ffffffffff', '0000000000280000', '0000010000080000'])(
  'are enough with %s',
  (capabilities) => {
    expect(() => {
      checkRights('a restore', status(capabilities));
    }).not.toThrow();
  },
);

it.each(['0000000000000000', '0000000000200000', '0000000000080000', '0000010000000000'])(
  'are too few with %s, and the remedy is said',
  (capabilities) => {
    expect(() => {
      checkRights('a restore', status(capabilities));
    }).toThrow(
      expect.objectContaining({
        message: expect.stringContaining('a restore needs the rights of root') as string,
        missing: [expect.objectContaining({ remedy: expect.stringContaining('as root') as string })],
      }),
    );
  },
);
