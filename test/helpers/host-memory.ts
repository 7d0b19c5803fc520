// SPDX-License-Identifier: MIT
/** Reads what tests of host memory check: page files, CRIU's page images, the mappings of a process. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readPageImages } from '../../lib/images/index.ts';

/** Size of CRIU's own page images in bytes. */
export function pageImageBytes(dir: string): number {
  return readdirSync(dir)
    .filter((name) => /^pages-\d+\.img$/.test(name))
    .reduce((total, name) => total + statSync(join(dir, name)).size, 0);
}

/** Paths of the page files in an images directory. */
export function pageFiles(dir: string): string[] {
  return readdirSync(dir)
    .filter((name) => name.startsWith('cuda-pages-'))
    .map((name) => join(dir, name));
}

/** Names of page files and their manifests in an images directory. */
export function hostFiles(dir: string): string[] {
  return readdirSync(dir).filter((name) => /^cuda-(pages|host)-/.test(name));
}

export interface Mapping {
  start: number;
  end: number;
  permissions: string;
  path: string;
  flags: string[];
}

/** Every mapping of a process, from its smaps. */
export function readMappings(pid: number): Mapping[] {
  const mappings: Mapping[] = [];
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ *(.*)$/.exec(line);
    if (head) {
      const [, start = '', end = '', permissions = '', path = ''] = head;
      mappings.push({ start: parseInt(start, 16), end: parseInt(end, 16), permissions, path, flags: [] });
    } else if (line.startsWith('VmFlags:')) {
      mappings.at(-1)?.flags.push(...line.slice(8).trim().split(' '));
    }
  }
  return mappings;
}

/** The program's mappings, without those of softcuda's devices. */
export function programMappings(pid: number): Mapping[] {
  return readMappings(pid).filter(({ path }) => !path.includes('/devices/'));
}

/** The mappings that are backed by a page file. */
export function pageFileMappings(pid: number): Mapping[] {
  return readMappings(pid).filter(({ path }) => path.includes('/cuda-pages-'));
}

/** Which kinds of memory of the first process in an images directory were stored in its page file. */
export async function savedKinds(dir: string, kinds: ReadonlyMap<string, number>): Promise<string[]> {
  const [image] = await readPageImages(dir);
  const isSaved = (address: bigint): boolean =>
    image?.emptied.some((m) => address >= m.address && address < m.address + BigInt(m.size)) ?? false;
  return [...kinds].filter(([, address]) => isSaved(BigInt(address))).map(([name]) => name);
}

/** Parses the answer to `kinds`: the address of each kind. Throws when a byte is wrong. */
export function parseKinds(answer: string): Map<string, number> {
  if (!answer.startsWith('ok ')) throw new Error(answer);
  const pairs = answer.split(' ').slice(2);
  return new Map(pairs.map((pair) => [pair.split('=')[0] ?? '', parseInt(pair.split('=')[1] ?? '', 16)]));
}
