// SPDX-License-Identifier: MIT
import { expect, it } from 'vitest';
import { checkRights, sudoCommand } from '../../../lib/machine/index.ts';

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

it.each([
  ['/usr/local/bin/criu-cuda and /usr/bin/node', ['criu-cuda', 'node'], 'sudo criu-cuda …'],
  ['only the program there', ['criu-cuda'], 'sudo env "PATH=$PATH" criu-cuda …'],
  ['a prefix of its own', [], 'sudo env "PATH=$PATH" criu-cuda …'],
])('are had with a command that sudo finds: %s', (_, there: string[], command) => {
  expect(sudoCommand((name) => (there.includes(name) ? `/usr/bin/${name}` : undefined))).toBe(command);
});
