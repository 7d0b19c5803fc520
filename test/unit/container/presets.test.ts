// SPDX-License-Identifier: MIT
/** What presets and benchmarks give to vLLM exists in the version that they were measured with. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { findPreset } from '../../../lib/container/presets.ts';

interface Row {
  name: string;
  command: string[];
  env: Record<string, string>;
}

/** A script, which has no declarations. */
const script = new URL('../../../benchmarks/servers/rows.mjs', import.meta.url).pathname;
const { rows } = (await import(script)) as { rows: Row[] };

/** Read off the wheel: arguments of `vllm serve` (arg_utils.py, cli_args.py), loaders, and envs.py. */
const vllm = JSON.parse(
  readFileSync(new URL('../../fixtures/servers/vllm-0.26.0.json', import.meta.url), 'utf8'),
) as Record<'flags' | 'environment', string>;

const flags = new Set(vllm.flags.split(' '));
const flagsOf = (words: readonly string[]) => words.filter((word) => word.startsWith('--'));
const unknownTo = (known: ReadonlySet<string>, words: readonly string[]) =>
  words.filter((word) => !known.has(word));

describe('the preset vllm', () => {
  const { parts } = findPreset('vllm');
  const args = parts.flatMap((part) => part.args ?? []);
  const names = parts.flatMap((part) => Object.keys(part.env ?? {}));

  it('has arguments that vLLM takes', () => {
    expect(flagsOf(args).length).toBeGreaterThan(2);
    expect(unknownTo(flags, flagsOf(args))).toEqual([]);
  });

  it('has variables that vLLM reads, or NCCL and PyTorch do', () => {
    const own = names.filter((name) => !/^(?:TORCH_)?NCCL_/.test(name));
    expect(own.length).toBeGreaterThan(1);
    expect(unknownTo(new Set(vllm.environment.split(' ')), own)).toEqual([]);
  });
});

describe('rows of the benchmark of servers', () => {
  it('have names of their own', () => {
    expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
  });

  it('start vLLM with arguments and variables that it has', () => {
    const served = rows.filter(({ command }) => command.includes('serve'));
    expect(served.length).toBeGreaterThan(10);
    for (const { name, command, env } of served) {
      expect([name, unknownTo(flags, flagsOf(command))]).toEqual([name, []]);
      const own = Object.keys(env).filter((key) => key.startsWith('VLLM_'));
      expect([name, unknownTo(new Set(vllm.environment.split(' ')), own)]).toEqual([name, []]);
    }
  });
});
