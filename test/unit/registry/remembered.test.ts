// SPDX-License-Identifier: MIT
// What is remembered of a push, and what makes it another directory.
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Contents } from '../../../lib/registry/push/contents.ts';
import {
  identityOf,
  recall,
  remember,
  type Identity,
  type Pushed,
} from '../../../lib/registry/push/remembered.ts';
import { waitUntil } from '../../helpers/wait.ts';

const NAMES = ['core-1.img', 'pages-1.img'];
const TIME = new Date('2026-01-02T03:04:05Z');
const digest = `sha256:${'a'.repeat(64)}`;
const pushed: Pushed = {
  files: [{ name: 'core-1.img', size: 3, mode: 0o600, modified: 1 }],
  blocks: [
    {
      ...{ kind: 'small', digest, size: 3 },
      pieces: [{ offset: 0, length: 3, sha256: 'a'.repeat(64), file: 0, at: 0 }],
    },
  ],
  layers: [{ mediaType: 'x', digest, size: 3 }],
};

let dir: string;
let env: { XDG_CACHE_HOME: string };
beforeEach(() => {
  const parent = mkdtempSync(join(tmpdir(), 'criu-cuda-test-'));
  dir = join(parent, 'images');
  env = { XDG_CACHE_HOME: join(parent, 'cache') };
  mkdirSync(dir);
  for (const name of NAMES) {
    writeFileSync(join(dir, name), name);
    utimesSync(join(dir, name), TIME, TIME);
  }
});
afterEach(() => {
  rmSync(join(dir, '..'), { recursive: true });
});

const identity = (): Identity => {
  const files: Contents['files'] = NAMES.map((name) => ({ name, size: 0, mode: 0, modified: 0 }));
  return identityOf(dir, { files, sequences: [] });
};

const settled = async (): Promise<Identity> => {
  await waitUntil(() => identity().isSettled);
  return identity();
};

const path = (): string => join(dir, 'pages-1.img');

describe('a directory is another one', () => {
  it.each([
    [
      'when a byte was written and the time set back',
      () => {
        const file = openSync(path(), 'r+');
        writeSync(file, 'X');
        closeSync(file);
        utimesSync(path(), TIME, TIME);
      },
    ],
    [
      'when an equal file took the place of one',
      () => {
        writeFileSync(`${path()}.new`, readFileSync(path()));
        utimesSync(`${path()}.new`, TIME, TIME);
        renameSync(`${path()}.new`, path());
      },
    ],
    [
      'when a mode changed',
      () => {
        chmodSync(path(), 0o400);
      },
    ],
  ])('%s', async (_name, change) => {
    const { key } = await settled();
    change();
    expect(identity().key).not.toBe(key);
  });

  it('and the same when its files are read and it gets another name', async () => {
    const { key } = await settled();
    readFileSync(path());
    renameSync(dir, `${dir}-2`);
    dir = `${dir}-2`;
    expect(identity().key).toBe(key);
  });
});

describe('what was pushed', () => {
  it('is remembered by the directory, in a file that nobody else can read', async () => {
    const one = await settled();
    expect(recall(one, env)).toBeUndefined();
    remember(one, pushed, env);
    expect(recall(one, env)).toEqual(pushed);
    expect(recall({ ...one, key: 'b'.repeat(64) }, env)).toBeUndefined();
  });

  it('is not remembered of a file that has just changed: the next change may leave its time', () => {
    const one = { key: 'a'.repeat(64), isSettled: false };
    remember(one, pushed, env);
    expect(recall(one, env)).toBeUndefined();
  });

  it.each(['{', '{}', JSON.stringify({ ...pushed, layers: [{ digest: 'x' }] })])(
    'is forgotten when its file is %s',
    async (text) => {
      const one = await settled();
      remember(one, pushed, env);
      writeFileSync(join(env.XDG_CACHE_HOME, 'criu-cuda/pushed', `${one.key}.json`), text);
      expect(recall(one, env)).toBeUndefined();
    },
  );

  it('is not believed when others can write it', async () => {
    const one = await settled();
    remember(one, pushed, env);
    chmodSync(join(env.XDG_CACHE_HOME, 'criu-cuda/pushed', `${one.key}.json`), 0o666);
    expect(recall(one, env)).toBeUndefined();
  });

  it('is remembered of the last 32 directories', () => {
    const kept = join(env.XDG_CACHE_HOME, 'criu-cuda/pushed');
    for (let nr = 0; nr < 40; nr += 1) {
      remember({ key: String(nr), isSettled: true }, pushed, env);
      utimesSync(join(kept, `${nr}.json`), nr + 1, nr + 1);
    }
    expect(readdirSync(kept).toSorted((a, b) => parseInt(a) - parseInt(b))).toEqual(
      Array.from({ length: 32 }, (_, index) => `${index + 8}.json`),
    );
  });

  it('is remembered also where something else is in its place, or old', () => {
    const kept = join(env.XDG_CACHE_HOME, 'criu-cuda/pushed');
    remember({ key: '0', isSettled: true }, pushed, env);
    mkdirSync(join(kept, 'old'));
    utimesSync(join(kept, 'old'), 1, 1);
    for (let nr = 1; nr < 40; nr += 1) remember({ key: String(nr), isSettled: true }, pushed, env);
    expect(readdirSync(kept)).toHaveLength(33);
    expect(readdirSync(kept)).toContain('old');
  });
});
