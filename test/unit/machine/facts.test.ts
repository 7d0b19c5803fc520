// SPDX-License-Identifier: MIT
import {
  chmodSync,
  chownSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keep, learned, recall, type Subject } from '../../../lib/machine/facts.ts';

let dir: string;
let subject: Subject;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-facts-'));
  subject = { question: 'size', programs: [join(dir, 'program')] };
  writeFileSync(join(dir, 'program'), 'one');
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

const env = (): { XDG_CACHE_HOME: string } => ({ XDG_CACHE_HOME: join(dir, 'cache') });
const isText = (value: unknown): value is string => typeof value === 'string';
const known = (one = subject): string | undefined => recall(one, isText, env());

/** The only file of the cache. */
function factFile(): string {
  const facts = join(dir, 'cache', 'criu-cuda', 'facts');
  const names = readdirSync(facts);
  expect(names).toHaveLength(1);
  return join(facts, names[0] ?? '');
}

describe('facts', () => {
  it('are learned once', async () => {
    let times = 0;
    const ask = (): Promise<string | undefined> =>
      learned(
        subject,
        isText,
        () => {
          times += 1;
          return Promise.resolve('three');
        },
        env(),
      );
    expect([await ask(), await ask(), times]).toEqual(['three', 'three', 1]);
    expect(statSync(factFile()).mode & 0o777).toBe(0o600);
  });

  it('are not kept when nothing was learned', async () => {
    expect(await learned(subject, isText, () => Promise.resolve(undefined), env())).toBeUndefined();
    expect(known()).toBeUndefined();
  });

  it('end with the program they are about, and with its circumstances', () => {
    keep(subject, 'three', env());
    expect(known()).toBe('three');
    expect(known({ ...subject, circumstances: 'elsewhere' })).toBeUndefined();
    expect(known({ ...subject, question: 'color' })).toBeUndefined();
    writeFileSync(join(dir, 'program'), 'two');
    expect(known()).toBeUndefined();
  });

  it('end with the boot', () => {
    keep(subject, 'three', env());
    const file = factFile();
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const text = readFileSync(file, 'utf8');
    expect(text).toContain(boot);
    writeFileSync(file, text.replace(boot, '00000000-0000-0000-0000-000000000000'));
    expect(known()).toBeUndefined();
  });

  it.each(['', '{', 'null', '[]', '{"key":1}', 'x'.repeat(100_000)])(
    'are ignored when damaged: %.10s',
    (text) => {
      keep(subject, 'three', env());
      writeFileSync(factFile(), text);
      expect(known()).toBeUndefined();
      keep(subject, 'three', env());
      expect(known()).toBe('three');
    },
  );

  it('are ignored when the answer is of another kind', () => {
    keep(subject, 3, env());
    expect(known()).toBeUndefined();
  });

  it('are not believed when another user may have written them', (context) => {
    keep(subject, 'three', env());
    const file = factFile();
    chmodSync(file, 0o666);
    expect(known()).toBeUndefined();
    chmodSync(file, 0o600);
    expect(known()).toBe('three');
    if (process.geteuid?.() !== 0) context.skip('only root can give a file away');
    chownSync(file, 12_345, 12_345);
    expect(known()).toBeUndefined();
  });

  it('are not read through a symbolic link', () => {
    keep(subject, 'three', env());
    const file = factFile();
    const other = join(dir, 'other');
    writeFileSync(other, readFileSync(file), { mode: 0o600 });
    rmSync(file);
    symlinkSync(other, file);
    expect(known()).toBeUndefined();
  });

  it('are learned each time where they cannot be kept', async () => {
    const readOnly = { XDG_CACHE_HOME: '/proc/self' };
    const ask = (answer: string): Promise<string | undefined> =>
      learned(subject, isText, () => Promise.resolve(answer), readOnly);
    expect([await ask('one'), await ask('two')]).toEqual(['one', 'two']);
  });
});
