// SPDX-License-Identifier: MIT
/**
 * Reads those parts of an ELF file that show what a shared object exports and what its data contains once it is
 * loaded. None of its code runs. Only 64-bit little-endian files are supported.
 * @module
 */
import { ToolkitError } from '../errors.ts';
import { InspectError } from './error.ts';

export interface ElfSymbol {
  name: string;
  address: number;
  size: number;
  /** False for a symbol that the file imports. */
  isDefined: boolean;
  isFunction: boolean;
}

interface Section {
  name: string;
  type: number;
  offset: number;
  size: number;
  link: number;
  entrySize: number;
}

interface Segment {
  offset: number;
  address: number;
  fileSize: number;
}

/** A value that the loader writes at an address. */
interface Relocation {
  address: number;
  type: number;
  symbol: ElfSymbol | undefined;
  addend: number;
}

const sectionType = { symtab: 2, rela: 4, dynamic: 6, note: 7, noBits: 8, dynsym: 11 } as const;
const PT_LOAD = 1;
const DT_NEEDED = 1;
const DT_SONAME = 14;
const NT_GNU_BUILD_ID = 3;

/** Relocation types by machine: `relative` is the base plus addend, the others are a symbol plus addend. */
const machines: Readonly<Record<number, { name: string; relative: number; symbolic: readonly number[] }>> = {
  62: { name: 'x86-64', relative: 8, symbolic: [1, 6] },
  183: { name: 'aarch64', relative: 1027, symbolic: [257, 1025] },
};

/** A shared object or program. Addresses are those in the file, before it is loaded. */
export interface ElfFile {
  machine: string;
  soname: string | undefined;
  /** Names of the libraries it needs. */
  needed: string[];
  buildId: string | undefined;
  /** The dynamic symbols: imports and exports. */
  dynamicSymbols: ElfSymbol[];
  /** Every symbol that is left in the file; none when it is stripped. */
  allSymbols: ElfSymbol[];
  /** 32 bits of initialized data. */
  readUint32(address: number): number;
  /** The target of a pointer: an address in this file, the name of an imported symbol, or `undefined` for null. */
  readPointer(address: number): number | string | undefined;
  /** A NUL-terminated string. */
  readString(address: number): string;
}

function bad(why: string): ToolkitError {
  return new InspectError('ERR_INSPECT_ELF', `not a readable shared object: ${why}`);
}

/** Reads bytes; every access is checked against the end of the file. */
class Reader {
  private readonly data: Buffer;

  constructor(data: Buffer) {
    this.data = data;
  }

  private check(offset: number, size: number): void {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + size > this.data.length) {
      throw bad(`it ends before byte ${offset + size}`);
    }
  }

  u8(offset: number): number {
    this.check(offset, 1);
    return this.data.readUInt8(offset);
  }

  u16(offset: number): number {
    this.check(offset, 2);
    return this.data.readUInt16LE(offset);
  }

  u32(offset: number): number {
    this.check(offset, 4);
    return this.data.readUInt32LE(offset);
  }

  u64(offset: number): number {
    this.check(offset, 8);
    return Number(this.data.readBigUInt64LE(offset));
  }

  i64(offset: number): number {
    this.check(offset, 8);
    return Number(this.data.readBigInt64LE(offset));
  }

  bytes(offset: number, size: number): Buffer {
    this.check(offset, size);
    return this.data.subarray(offset, offset + size);
  }

  string(offset: number): string {
    this.check(offset, 1);
    const end = this.data.indexOf(0, offset);
    if (end === -1) throw bad('a string is not terminated');
    return this.data.toString('latin1', offset, end);
  }
}

function readSections(reader: Reader): Section[] {
  const table = reader.u64(40);
  const entrySize = reader.u16(58);
  const count = reader.u16(60);
  const namesIndex = reader.u16(62);
  if (count === 0) throw bad('it has no section headers');
  const headers = Array.from({ length: count }, (_, index) => table + index * entrySize);
  const names = headers[namesIndex];
  const namesAt = names === undefined ? undefined : reader.u64(names + 24);
  return headers.map((at) => ({
    name: namesAt === undefined ? '' : reader.string(namesAt + reader.u32(at)),
    type: reader.u32(at + 4),
    offset: reader.u64(at + 24),
    size: reader.u64(at + 32),
    link: reader.u32(at + 40),
    entrySize: reader.u64(at + 56),
  }));
}

function readSegments(reader: Reader): Segment[] {
  const table = reader.u64(32);
  const entrySize = reader.u16(54);
  return Array.from({ length: reader.u16(56) }, (_, index) => table + index * entrySize)
    .filter((at) => reader.u32(at) === PT_LOAD)
    .map((at) => ({
      offset: reader.u64(at + 8),
      address: reader.u64(at + 16),
      fileSize: reader.u64(at + 32),
    }));
}

/** Offsets of a section's entries. */
function entries(section: Section, size: number): number[] {
  const step = section.entrySize === 0 ? size : section.entrySize;
  if (step < size) throw bad(`entries of ${section.name} are too short`);
  return Array.from({ length: Math.floor(section.size / step) }, (_, index) => section.offset + index * step);
}

function readSymbols(reader: Reader, sections: readonly Section[], type: number): ElfSymbol[] {
  const section = sections.find((candidate) => candidate.type === type);
  const strings = section === undefined ? undefined : sections[section.link];
  if (section === undefined || strings === undefined) return [];
  return entries(section, 24).map((at) => ({
    name: reader.string(strings.offset + reader.u32(at)),
    isFunction: (reader.u8(at + 4) & 15) === 2,
    isDefined: reader.u16(at + 6) !== 0,
    address: reader.u64(at + 8),
    size: reader.u64(at + 16),
  }));
}

function readRelocations(
  reader: Reader,
  sections: readonly Section[],
  symbols: readonly ElfSymbol[],
): Map<number, Relocation> {
  const found = new Map<number, Relocation>();
  for (const section of sections) {
    if (section.type !== sectionType.rela) continue;
    for (const at of entries(section, 24)) {
      const address = reader.u64(at);
      const index = reader.u32(at + 12);
      const symbol = index === 0 ? undefined : symbols[index];
      found.set(address, { address, type: reader.u32(at + 8), symbol, addend: reader.i64(at + 16) });
    }
  }
  return found;
}

function readDynamic(
  reader: Reader,
  sections: readonly Section[],
): { needed: string[]; soname?: string | undefined } {
  const section = sections.find((candidate) => candidate.type === sectionType.dynamic);
  const strings = section === undefined ? undefined : sections[section.link];
  if (section === undefined || strings === undefined) return { needed: [] };
  const tags = entries(section, 16).map((at) => ({ tag: reader.u64(at), value: reader.u64(at + 8) }));
  const text = (value: number): string => reader.string(strings.offset + value);
  const soname = tags.find(({ tag }) => tag === DT_SONAME);
  return {
    needed: tags.filter(({ tag }) => tag === DT_NEEDED).map(({ value }) => text(value)),
    ...(soname === undefined ? {} : { soname: text(soname.value) }),
  };
}

function readBuildId(reader: Reader, sections: readonly Section[]): string | undefined {
  const note = sections.find(({ name, type }) => type === sectionType.note && name === '.note.gnu.build-id');
  if (note === undefined || reader.u32(note.offset + 8) !== NT_GNU_BUILD_ID) return undefined;
  const nameSize = Math.ceil(reader.u32(note.offset) / 4) * 4;
  return reader.bytes(note.offset + 12 + nameSize, reader.u32(note.offset + 4)).toString('hex');
}

function checkHeader(reader: Reader, size: number): void {
  if (size < 64 || reader.u32(0) !== 0x464c457f) throw bad('it is not an ELF file');
  if (reader.u8(4) !== 2 || reader.u8(5) !== 1) throw bad('it is not 64-bit little-endian');
}

/** @throws {@link ToolkitError} when the bytes are not such a file or are truncated */
export function parseElf(data: Buffer): ElfFile {
  const reader = new Reader(data);
  checkHeader(reader, data.length);
  const machine = machines[reader.u16(18)];
  const sections = readSections(reader);
  const segments = readSegments(reader);
  const dynamicSymbols = readSymbols(reader, sections, sectionType.dynsym);
  const relocations = readRelocations(reader, sections, dynamicSymbols);
  const dynamic = readDynamic(reader, sections);

  const offsetOf = (address: number): number => {
    const segment = segments.find((s) => address >= s.address && address < s.address + s.fileSize);
    if (segment === undefined) throw bad(`address ${address} is not in the file`);
    return segment.offset + (address - segment.address);
  };
  const readPointer = (address: number): number | string | undefined => {
    const relocation = relocations.get(address);
    if (relocation === undefined) return reader.u64(offsetOf(address)) || undefined;
    const { symbol, addend, type } = relocation;
    if (type === machine?.relative) return addend;
    if (symbol === undefined || machine?.symbolic.includes(type) !== true) {
      throw bad(`unknown relocation type ${type}`);
    }
    return symbol.isDefined ? symbol.address + addend : symbol.name;
  };

  return {
    machine: machine?.name ?? `machine ${reader.u16(18)}`,
    soname: dynamic.soname,
    needed: dynamic.needed,
    buildId: readBuildId(reader, sections),
    dynamicSymbols,
    allSymbols: readSymbols(reader, sections, sectionType.symtab),
    readUint32: (address) => reader.u32(offsetOf(address)),
    readPointer,
    readString: (address) => reader.string(offsetOf(address)),
  };
}
