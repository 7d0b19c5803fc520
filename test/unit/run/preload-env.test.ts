// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { preloadEnvironment, preloadProblem } from '../../../lib/run/index.ts';

const LIBRARY = '/usr/lib/criu-cuda/libcuda_intercept.so';

describe('preloadEnvironment', () => {
  it('sets nothing without an interceptor', () => {
    expect(preloadEnvironment(undefined, { LD_PRELOAD: '/lib/other.so' })).toEqual({});
  });

  it('puts the library first and keeps the others', () => {
    expect(preloadEnvironment(LIBRARY, {})).toEqual({ LD_PRELOAD: LIBRARY });
    expect(preloadEnvironment(LIBRARY, { LD_PRELOAD: '/lib/a.so /lib/b.so' })).toEqual({
      LD_PRELOAD: `${LIBRARY}:/lib/a.so:/lib/b.so`,
    });
  });

  it('adds it once', () => {
    const once = preloadEnvironment(LIBRARY, { LD_PRELOAD: `/lib/a.so:${LIBRARY}` });
    expect(once).toEqual({ LD_PRELOAD: `${LIBRARY}:/lib/a.so` });
    expect(preloadEnvironment(LIBRARY, once)).toEqual(once);
  });

  it('never preloads two builds of the interceptor', () => {
    const [one, two] = ['a', 'b'].map((digit) => `/opt/libcuda_intercept-${digit.repeat(16)}.so`);
    expect(preloadEnvironment(one, { LD_PRELOAD: `${two}:${LIBRARY} /lib/a.so` })).toEqual({
      LD_PRELOAD: `${one}:/lib/a.so`,
    });
  });
});

it.each(['/opt/my dir/libcuda_intercept.so', '/opt/a:b/libcuda_intercept.so'])(
  'cannot preload %s',
  (path) => {
    expect(preloadProblem(path)).toContain(`a space or a colon: ${path} (criu-cuda install`);
    expect(preloadProblem(LIBRARY)).toBeUndefined();
  },
);
