// SPDX-License-Identifier: MIT
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  settingsTemplate,
  loadSettings,
  settingKeys,
  writeSettingsFile,
} from '../../../lib/settings/index.ts';
import { SettingError } from '../../../lib/settings/settings.ts';
import { definitionOf } from '../../../lib/settings/table.ts';
import { exec, execResult } from '../../../lib/exec.ts';
import { builtProgram, type Environment } from '../../../lib/paths.ts';

let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-config-'));
  file = join(dir, 'cuda.conf');
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

function load(text: string, env: Environment = {}): ReturnType<typeof loadSettings> {
  writeFileSync(file, text);
  return loadSettings({ ...env, CRIU_CUDA_CONFIG: file });
}

describe('loadSettings', () => {
  it('has the defaults for what the file does not set', () => {
    const loaded = load('');
    expect(loaded.settings).toMatchObject({
      CRIU_CUDA_STREAMS: 8,
      CRIU_CUDA_INTERCEPT: ['memory', 'memcpy'],
      CRIU_CUDA_HANDOVER: 'auto',
      CRIU_CUDA_DRIVER: '',
      CRIU_CUDA_RUN_DIR: '/run/criu-cuda',
    });
    expect(loaded.origins.CRIU_CUDA_STREAMS).toEqual({ source: 'default' });
  });

  it('prefers the environment to the file, and remembers the line', () => {
    const loaded = load(
      '# threads\n\n  CRIU_CUDA_STREAMS = 4 \nCRIU_CUDA_IO=direct\nCRIU_CUDA_CHUNK_MB=2\n',
      {
        CRIU_CUDA_CHUNK_MB: '16',
        CRIU_CUDA_IO: '',
      },
    );
    expect(loaded.settings).toMatchObject({
      CRIU_CUDA_STREAMS: 4,
      CRIU_CUDA_IO: 'direct',
      CRIU_CUDA_CHUNK_MB: 16,
    });
    expect(loaded.origins.CRIU_CUDA_STREAMS).toEqual({ source: 'file', line: 3 });
    expect(loaded.origins.CRIU_CUDA_CHUNK_MB).toEqual({ source: 'environment' });
  });

  it('reads flags, and off as none', () => {
    expect(load('CRIU_CUDA_INTERCEPT = memcpy').settings.CRIU_CUDA_INTERCEPT).toEqual(['memcpy']);
    expect(load('CRIU_CUDA_INTERCEPT = off').settings.CRIU_CUDA_INTERCEPT).toEqual([]);
  });

  it('requires a file that was named', () => {
    expect(() => loadSettings({ CRIU_CUDA_CONFIG: file })).toThrow(
      /cuda\.conf: cannot be read: no such file or directory/,
    );
  });
});

/** Each line is wrong for its own reason; C must refuse it too, with the same message. */
const wrongLines: [string, string][] = [
  ['CRIU_CUDA_STREAMS = 33', 'CRIU_CUDA_STREAMS is "33"; accepted: 1-32'],
  ['CRIU_CUDA_STREAMS = 8x', 'CRIU_CUDA_STREAMS is "8x"; accepted: 1-32'],
  ['CRIU_CUDA_STREAMS =', 'CRIU_CUDA_STREAMS is ""; accepted: 1-32'],
  ['CRIU_CUDA_HANDOVER = both', 'CRIU_CUDA_HANDOVER is "both"; accepted: auto|adopt|map'],
  [
    'CRIU_CUDA_INTERCEPT = memory,all',
    'CRIU_CUDA_INTERCEPT is "memory,all"; accepted: off, or any of memory|memcpy',
  ],
  ['CRIU_CUDA_RUN_DIR = run', 'CRIU_CUDA_RUN_DIR is "run"; accepted: an absolute path'],
  ['CRIU_CUDA_STREAM = 8', 'unknown setting "CRIU_CUDA_STREAM"'],
  ['STREAMS', '"STREAMS" is not of the form key = value'],
];

describe('a wrong value', () => {
  it.each(wrongLines)('%s', (line, message) => {
    const failure = (): unknown => load(`# one\n${line}\n`);
    expect(failure).toThrow(SettingError);
    expect(failure).toThrow(message);
  });

  it('names the line of the file, or the environment', () => {
    expect(() => load('\nCRIU_CUDA_STREAMS = 0')).toThrow(`${file}:2: CRIU_CUDA_STREAMS`);
    expect(() => load('', { CRIU_CUDA_STREAMS: '0' })).toThrow('environment: CRIU_CUDA_STREAMS is "0"');
  });
});

describe('writeSettingsFile', () => {
  it('writes every key, and all of it is valid once uncommented', async () => {
    await writeSettingsFile(file);
    expect(statSync(file).mode & 0o777).toBe(0o644);
    const text = readFileSync(file, 'utf8').replaceAll(/^#(?=CRIU)/gm, '');
    const loaded = load(text);
    expect(settingKeys.map((key) => loaded.origins[key].source)).toEqual(settingKeys.map(() => 'file'));
    expect(loaded.raw).toEqual(
      Object.fromEntries(settingKeys.map((key) => [key, definitionOf(key).default])),
    );
  });

  it('does not overwrite without force, and leaves no other file', async () => {
    writeFileSync(file, 'mine');
    await expect(writeSettingsFile(file)).rejects.toMatchObject({
      message: `${file} already exists`,
    });
    expect(readFileSync(file, 'utf8')).toBe('mine');
    await writeSettingsFile(file, { force: true });
    expect(readFileSync(file, 'utf8')).toBe(settingsTemplate());
    expect(readdirSync(dir)).toEqual(['cuda.conf']);
  });
});

const printer = builtProgram('ccr-settings');

describe('the C side', () => {
  beforeEach((context) => {
    if (!existsSync(printer)) context.skip('the C parts are not built: criu-cuda build');
  });

  interface Row {
    key: string;
    type: string;
    default: string;
    min?: number;
    max?: number;
    words?: string;
  }

  it('has the same table', async () => {
    const rows = JSON.parse((await exec(printer, [])).stdout) as Row[];
    const ours = settingKeys.map((key) => {
      const definition = definitionOf(key);
      return {
        key,
        type: definition.type,
        default: definition.default,
        ...(definition.type === 'number' ? { min: definition.min, max: definition.max } : {}),
        ...('words' in definition ? { words: definition.words.join('|') } : {}),
      };
    });
    expect(ours).toEqual(rows);
  });

  it.each(wrongLines)('refuses %s too', async (line, message) => {
    writeFileSync(file, `${line}\n`);
    const result = await execResult(printer, [file], { env: { CRIU_CUDA_STREAMS: undefined } });
    expect(result.exitCode).toBe(1);
    expect(result.stderr).toContain(message);
  });

  it('reads the file config init writes', async () => {
    await writeSettingsFile(file);
    writeFileSync(file, readFileSync(file, 'utf8').replaceAll(/^#(?=CRIU)/gm, ''));
    expect((await execResult(printer, [file])).stderr).toBe('');
  });
});
