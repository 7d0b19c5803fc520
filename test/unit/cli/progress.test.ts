// SPDX-License-Identifier: MIT
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ByteMeter, bytesFor, withProgress, type ProgressListener } from '../../../lib/progress.ts';
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
    expect(await show(400, { terminal: true })).toBe('');
  });

  it('is quiet without a terminal', async () => {
    expect(await show(25_000, {})).toBe('');
    expect(await show(25_000, {}, true)).toBe('');
  });

  it('draws one line on a terminal and leaves the result', async () => {
    const text = await show(3000, { terminal: true });
    expect(text).toContain('working  2 s  first part');
    expect(text.match(/\n/g)).toHaveLength(1);
    expect(text).toMatch(/✔ working {2}3\.00 s\n$/);
  });

  it('says when it failed and passes the error on', async () => {
    expect(await show(3000, { terminal: true }, true)).toMatch(/✘ working {2}3\.00 s\n$/);
  });

  it('is silent with --json', async () => {
    expect(await show(60_000, { json: true })).toBe('');
  });
});

describe('bytes', () => {
  const MIB = 2 ** 20;
  const count = (done: number, total = 1000) => ({ doneBytes: done * MIB, totalBytes: total * MIB });

  it('are shown with their rate and the time that is left', () => {
    const meter = new ByteMeter();
    expect(meter.text(count(0), 0)).toBe('0 B of 1000 MiB');
    expect(meter.text(count(100), 1000)).toBe('100 MiB of 1000 MiB, 100 MiB/s, about 9 s left');
    expect(meter.text(count(1000), 2000)).toBe('1000 MiB of 1000 MiB');
  });

  it('have the rate of the last seconds', () => {
    const meter = new ByteMeter();
    meter.text(count(0, 100_000), 0);
    meter.text(count(900, 100_000), 1000);
    for (let second = 2; second < 10; second += 1) meter.text(count(900 + second, 100_000), second * 1000);
    expect(meter.text(count(910, 100_000), 10_000)).toMatch(/, 1 MiB\/s, about 1651 min 30 s left$/);
  });

  it('have no total and no time where nothing tells how many there are', () => {
    const meter = new ByteMeter();
    expect(meter.text(count(0, Number.POSITIVE_INFINITY), 0)).toBe('0 B so far');
    expect(meter.text(count(100, Number.POSITIVE_INFINITY), 1000)).toBe('100 MiB so far, 100 MiB/s');
  });

  it('have neither rate nor time while nothing moves', () => {
    const meter = new ByteMeter();
    meter.text(count(5), 0);
    expect(meter.text(count(5), 20_000)).toBe('5 MiB of 1000 MiB');
  });

  it('are drawn on a terminal, and not even counted elsewhere', async () => {
    const { io, stderr } = captureIo({ terminal: true });
    const step = withProgress(io, 'dump', async (report) => {
      bytesFor(io, report)?.(count(0));
      await new Promise((resolve) => setTimeout(resolve, 1000));
      bytesFor(io, report)?.(count(250));
      await new Promise((resolve) => setTimeout(resolve, 1000));
    });
    await vi.advanceTimersByTimeAsync(2000);
    await step;
    expect(stderr()).toContain('dump  1 s  250 MiB of 1000 MiB, 250 MiB/s, about 3 ');
    for (const options of [{}, { json: true, terminal: true }])
      expect(bytesFor(captureIo(options).io, () => undefined)).toBe(undefined);
  });
});

it('a long title leaves room for what changes, also on a terminal that does not say its width', async () => {
  const { io, stderr } = captureIo({ terminal: true, columns: 0 });
  const title = `reading the images in ${'/directory'.repeat(12)}`;
  const step = withProgress(io, title, async (report) => {
    report({ doneBytes: 2 ** 20, totalBytes: 2 ** 22 });
    await new Promise((resolve) => setTimeout(resolve, 1000));
  });
  await vi.advanceTimersByTimeAsync(1000);
  await step;
  const [line = ''] = /reading the images in .*MiB/.exec(stderr()) ?? [];
  expect(line).toMatch(/^reading the images in \/directory.*… {2}0 s {2}1 MiB of 4 MiB$/);
  expect(line.length).toBeLessThan(80);
});
