// SPDX-License-Identifier: MIT
import { expect, it, vi } from 'vitest';
import { stopProcess } from '../../../lib/stop/index.ts';

// Without the check, nothing is killed but this test fails.
const { killTreeNow } = vi.hoisted(() => ({ killTreeNow: vi.fn(() => []) }));
vi.mock('../../../lib/process/index.ts', async (original) => ({
  ...(await original<object>()),
  killTreeNow,
}));
vi.mock('../../../lib/stop/release.ts', () => ({
  DEFAULT_RELEASE_MS: 1000,
  releaseDevices: () => Promise.resolve({ processes: [], reason: undefined }),
}));

it.each([
  ['this program', process.pid],
  ['its parent', process.ppid],
])('%s is refused, and nothing is killed', async (_name, pid) => {
  await expect(stopProcess(pid)).rejects.toThrow(`${pid} is this program or started it`);
  expect(killTreeNow).not.toHaveBeenCalled();
});
