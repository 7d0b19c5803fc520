// SPDX-License-Identifier: MIT
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { withProgress, type ProgressListener } from '../../../lib/progress.ts';
import { captureIo, type CaptureOptions } from './capture.ts';

// only the clock is replaced: these tests check when something is shown
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Shows a step that takes this long and reports something at its start. */
async function show(ms: number, options: CaptureOptions, fails = false): Promise<string> {
  const { io, stderr, stdout } = captureIo(options);
  const work = async (report: ProgressListener): Promise<number> => {
    report('first  part');
    await new Promise((resolve) => setTimeout(resolve, ms));
    if (fails) throw new Error('broken');
    return 7;
  };
  const result = withProgress(io, 'working', work).catch((error: unknown) => error);
  await vi.advanceTimersByTimeAsync(ms);
  expect(await result).toEqual(fails ? new Error('broken') : 7);
  expect(stdout()).toBe('');
  return stderr();
}

describe('withProgress', () => {
  it('shows nothing for a short step', async () => {
    expect(await show(1400, {})).toBe('');
    expect(await show(400, { terminal: true })).toBe('');
  });

  it('writes plain lines without a terminal', async () => {
    expect(await show(25_000, {})).toBe(
      'working …\nworking: 12 s, first part\nworking: 22 s, first part\nworking: done in 25.0 s\n',
    );
  });

  it('draws one line on a terminal and leaves the result', async () => {
    const text = await show(3000, { terminal: true });
    expect(text).toContain('working  2 s  first part');
    expect(text.match(/\n/g)).toHaveLength(1);
    expect(text).toMatch(/✔ working {2}3\.00 s\n$/);
  });

  it('says when it failed and passes the error on', async () => {
    expect(await show(3000, {}, true)).toMatch(/working: failed in 3\.00 s\n$/);
  });

  it('is silent with --json', async () => {
    expect(await show(60_000, { json: true })).toBe('');
  });
});
