// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { checkMaySuspendFilters } from '../../../lib/criu/index.ts';
import { EnvironmentError } from '../../../lib/errors.ts';

const status = (uid: number, capabilities: string, mode: number): string =>
  `Name:\tnode\nUid:\t${uid}\t${uid}\t${uid}\t${uid}\nCapEff:\t${capabilities}\nNoNewPrivs:\t0\nSeccomp:\t${mode}\n`;
const all = '000001ffffffffff';
const withoutAdmin = '000001ffffdfffff';

describe('whether criu may suspend a filter', () => {
  it('is true for root without a filter, and left to criu for other users', () => {
    expect(() => {
      checkMaySuspendFilters('dump 4711', status(0, all, 0));
      checkMaySuspendFilters('dump 4711', status(1000, '0000000000000000', 0));
    }).not.toThrow();
  });

  it.each([
    [status(0, all, 2), 'this program is under one itself', 'use one that neither criu-cuda run nor'],
    [status(1000, '0', 2), 'this program is under one itself', 'use one that neither criu-cuda run nor'],
    [status(0, withoutAdmin, 0), 'only with CAP_SYS_ADMIN', 'criu-cuda run --allow-io-uring'],
  ])('is refused with the reason: %j', (own, reason, remedy) => {
    const check = () => {
      checkMaySuspendFilters('dump 4711', own);
    };
    expect(check).toThrow(EnvironmentError);
    expect(check).toThrow(`cannot dump 4711, which is under a seccomp filter: `);
    expect(check).toThrow(reason);
    expect(check).toThrow(
      expect.objectContaining({ hint: expect.stringContaining(remedy) as string }) as Error,
    );
  });
});
