// SPDX-License-Identifier: MIT
/** Pointers that the loader fills in by name, as in a plugin whose hooks are exported. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inspectPlugin, parseElf } from '../../../lib/inspect/index.ts';
import { compilePlugin } from './compile.ts';

const SOURCE = `
int puts(const char *);
int table[4] = {1, 2, 3, 4};
int exported(void) { return 0; }
int (*to_function)(void) = exported;
int *to_element = &table[2];
int *to_before = &table[-1];
int (*to_other)(const char *) = puts;
int *pointers[2] = {&table[0], 0};
`;

/** R_X86_64_64 and R_AARCH64_ABS64. */
const symbolic = [1, 257];

let dir: string;
let path: string;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-relocations-'));
  path = await compilePlugin(dir, 'symbolic.so', {
    name: 'cuda_plugin',
    extra: SOURCE,
    exportedHook: 10,
  });
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

function read(bytes: Buffer) {
  const elf = parseElf(bytes);
  const addressOf = (name: string): number =>
    elf.dynamicSymbols.find((symbol) => symbol.name === name)?.address ?? Number.NaN;
  return { addressOf, pointer: (name: string, offset = 0) => elf.readPointer(addressOf(name) + offset) };
}

/**
 * Gives the relocation of an address a type that does not exist on any machine. An entry is r_offset, then r_info with
 * the type first.
 */
function damage(bytes: Buffer, address: number): void {
  const offset = Buffer.alloc(8);
  offset.writeBigUInt64LE(BigInt(address));
  for (let at = bytes.indexOf(offset); at !== -1; at = bytes.indexOf(offset, at + 1)) {
    if (symbolic.includes(bytes.readUInt32LE(at + 8))) bytes.writeUInt32LE(99, at + 8);
  }
}

describe('a pointer that is relocated by a symbol', () => {
  it('points to the symbol plus the addend', () => {
    const { addressOf, pointer } = read(readFileSync(path));
    expect(pointer('to_function')).toBe(addressOf('exported'));
    expect(pointer('to_element')).toBe(addressOf('table') + 8);
    expect(pointer('to_before')).toBe(addressOf('table') - 4);
  });

  it('is a name if the symbol is from another library, and undefined if it is null', () => {
    const { pointer } = read(readFileSync(path));
    expect(pointer('to_other')).toBe('puts');
    expect(pointer('pointers', 8)).toBeUndefined();
  });

  it('is refused if the type of the relocation is unknown', () => {
    const bytes = readFileSync(path);
    damage(bytes, read(bytes).addressOf('to_element'));
    expect(() => read(bytes).pointer('to_element')).toThrow('unknown relocation type 99');
  });
});

it('finds hooks that are exported functions in the descriptor', () => {
  expect(inspectPlugin(path)).toMatchObject({
    kind: 'upstream-cuda',
    descriptor: { hooks: ['PAUSE_DEVICES'], hooksFrom: 'descriptor' },
  });
});

it('is not recognized if a relocation is damaged', () => {
  const bytes = readFileSync(path);
  const elf = parseElf(bytes);
  const descriptor = elf.dynamicSymbols.find(({ name }) => name === 'CR_PLUGIN_DESC');
  damage(bytes, (descriptor?.address ?? 0) + 32 + 10 * 8);
  const damaged = join(dir, 'damaged.so');
  writeFileSync(damaged, bytes);
  expect(inspectPlugin(damaged)).toMatchObject({
    kind: 'not-a-plugin',
    reason: expect.stringContaining('relocation type 99') as string,
  });
});
