// SPDX-License-Identifier: MIT
/** The campaign's choices follow from the seed, and its comparison sees what differs. */
import { expect, it } from 'vitest';
import { compare, hasParasite, linesAbout, type Fingerprint } from '../../campaign/fingerprint.ts';
import { parseOptions } from '../../campaign/options.ts';
import { choosePlan, type PlanOptions } from '../../campaign/plan.ts';
import { Random } from '../../campaign/random.ts';
import { sites } from '../../campaign/sites.ts';
import { faultLabel } from '../../campaign/steps.ts';
import { stageOf, type Plan } from '../../campaign/types.ts';

const options: PlanOptions = { seed: '7', baseline: false, rootOnly: false, cgroups: true };
const plans = (changes: Partial<PlanOptions>): Plan[] =>
  Array.from({ length: 400 }, (_, cycle) => choosePlan({ ...options, ...changes }, cycle));
const fingerprint = (lines: Record<string, string>): Fingerprint => new Map(Object.entries(lines));

it('repeats a cycle from seed and number, and no other seed does', () => {
  expect(choosePlan(options, 12)).toEqual(choosePlan(options, 12));
  expect(plans({})).not.toEqual(plans({ seed: '8' }));
});

it('chooses every site equally often', () => {
  const count = new Map<string, number>();
  for (const { site } of plans({})) count.set(site, (count.get(site) ?? 0) + 1);
  for (const { label, weight } of sites) expect(count.get(label), label).toBeGreaterThanOrEqual(2 * weight);
});

it('chooses every fault, every stage and, every 50th time, the command line', () => {
  const all = plans({});
  const kinds = new Set(all.map(({ fault }) => fault.kind));
  const expected = ['signal', 'errno', 'disk-full', 'script', 'driver', 'frozen', 'memory'];
  expect([...kinds].sort()).toEqual(expected.sort());
  expect(all.filter(({ face }) => face === 'command')).toHaveLength(8);
  expect(new Set(all.map(({ operation }) => stageOf(operation)))).toEqual(new Set(['dump', 'restore']));
});

it('leaves out what a machine without cgroups, or criu alone, cannot do', () => {
  const kinds = plans({ cgroups: false }).map(({ fault }) => fault.kind);
  expect(kinds).not.toContain('frozen');
  expect(kinds).not.toContain('memory');
  for (const { program, variant, site, fault } of plans({ baseline: true })) {
    expect([program.cuda, program.interceptor, variant]).toEqual([false, false, 'none']);
    expect(fault.kind).not.toBe('driver');
    expect(site).not.toMatch(/watcher|pool/);
    expect(faultLabel(fault)).not.toMatch(/watcher|pool/);
  }
});

it('picks numbers in their ranges', () => {
  const random = new Random('range');
  const numbers = Array.from({ length: 1000 }, () => random.magnitude(100));
  expect(Math.min(...numbers)).toBe(1);
  expect(Math.max(...numbers)).toBe(100);
  expect(numbers.filter((n) => n <= 10).length).toBeGreaterThan(350);
});

it('names what differs, and leaves out what CRIU itself leaves in a process', () => {
  const before = fingerprint({ '0.plain': 'right,zero', '9 mappings': '1000-2000 rw-p' });
  expect(compare(before, before)).toBe('');
  expect(compare(before, fingerprint({ '0.plain': 'right,old', '9 mappings': '1000-2000 rw-p' }))).toBe(
    '0.plain: -right,zero | +right,old',
  );
  const after = fingerprint({
    '0.plain': 'right,zero',
    '9 mappings': '1000-2000 rw-p\n3000-4000 r-xs /memfd:CRIUMFD',
  });
  expect([compare(before, after), hasParasite(after), hasParasite(before)]).toEqual(['', true, false]);
});

it('has no line about a thread or descriptor that has just gone, and fails for any other reason', () => {
  const of = (code: string) => (name: string) => {
    if (name === '2') throw Object.assign(new Error(code), { code });
    return name === '3' ? undefined : `${name} runs`;
  };
  expect(linesAbout(['1', '2', '3'], of('ENOENT'))).toEqual(['1 runs']);
  expect(linesAbout(['1', '2', '3'], of('ESRCH'))).toEqual(['1 runs']);
  expect(() => linesAbout(['2'], of('EACCES'))).toThrow('EACCES');
});

it('refuses arguments that it does not understand', () => {
  expect(parseOptions(['--minutes', '5', '--seed', 's', '--cycle', '3'])).toMatchObject({
    ...{ minutes: 5, seed: 's', cycle: 3 },
  });
  expect(() => parseOptions(['--cycle', 'x'])).toThrow('--cycle x: not a whole number');
  expect(() => parseOptions(['--variant', 'some'])).toThrow('--variant some: accepted are stock');
  expect(() => parseOptions(['--minutes', 'soon'])).toThrow('--minutes soon: not a number');
});
