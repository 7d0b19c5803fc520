// SPDX-License-Identifier: MIT
import { expect, it, vi } from 'vitest';
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

/** What sudo finds, and the program that the caller finds. */
it.each([
  [{ 'criu-cuda': '/usr/local/bin/criu-cuda', node: '/usr/bin/node' }, undefined, 'sudo criu-cuda …'],
  [{ 'criu-cuda': '/usr/bin/criu-cuda', node: '/usr/bin/node' }, '/usr/bin/criu-cuda', 'sudo criu-cuda …'],
  [{ 'criu-cuda': '/usr/bin/criu-cuda' }, undefined, 'sudo env "PATH=$PATH" criu-cuda …'],
  [{ node: '/usr/bin/node' }, '/home/u/bin/criu-cuda', 'sudo env "PATH=$PATH" criu-cuda …'],
  [
    { 'criu-cuda': '/usr/bin/criu-cuda', node: '/usr/bin/node' },
    '/home/u/bin/criu-cuda',
    'sudo env "PATH=$PATH" criu-cuda …',
  ],
])('are had with a command that sudo finds: %o, %s', (ofRoot: Record<string, string>, own, command) => {
  vi.stubEnv('PATH', '/home/u/bin');
  const find = (name: string, path: string): string | undefined =>
    path === '/home/u/bin' ? own : ofRoot[name];
  expect(sudoCommand(find)).toBe(command);
  vi.unstubAllEnvs();
});
