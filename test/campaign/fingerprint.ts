// SPDX-License-Identifier: MIT
/** What is the same in a process tree before a dump and after a restore: asked from inside, and read from /proc. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { isErrno } from '../../lib/errno.ts';
import { readProcessTree } from '../../lib/process/index.ts';
import type { CampaignMachine } from './machine.ts';
import { askProgram } from './program.ts';

/** Lines by name. */
export type Fingerprint = Map<string, string>;

const ASK_MS = 30_000;

interface Mapping {
  start: string;
  end: string;
  rest: string;
  offset: number;
}

/** Soft-dirty, and accounted: CRIU maps a file writable before it takes the permission away. */
const VOLATILE_FLAGS = new Set(['sd', 'ac']);

/** glibc's arena of a thread that allocates for the first time: 64 MiB at a multiple of that. */
const ARENA_BYTES = 64 * 2 ** 20;
/** Default sizes of the stack of a thread: RLIMIT_STACK. */
const STACK_BYTES = [1, 2, 8].map((mib) => mib * 2 ** 20);

/** Device memory is wherever the driver puts it in its files. */
const isDevice = (path: string): boolean => /\/cycle-\d+\/devices\//.test(path);

function parseMappings(smaps: string): Mapping[] {
  const mappings: Mapping[] = [];
  for (const line of smaps.split('\n')) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) (\S+) \S+ \d+ *(.*)$/.exec(line);
    if (head) {
      const [, start = '', end = '', protection = '', offset = '', path = ''] = head;
      const hasOffset = path.startsWith('/') && !isDevice(path);
      const name = path.replace('/memfd:/dev/zero', '/dev/zero'); // CRIU's shared memory
      mappings.push({
        start,
        end,
        rest: `${protection} ${name}`,
        offset: hasOffset ? parseInt(offset, 16) : -1,
      });
    } else if (line.startsWith('VmFlags:')) {
      const last = mappings.at(-1);
      const flags = line
        .slice(8)
        .trim()
        .split(' ')
        .filter((flag) => !VOLATILE_FLAGS.has(flag));
      if (last) last.rest += ` ${flags.join(' ')}`;
    }
  }
  return mappings;
}

/** Neighbors that differ in nothing are one mapping, however the kernel keeps them. */
function merge(mappings: readonly Mapping[]): Mapping[] {
  const merged: Mapping[] = [];
  for (const mapping of mappings) {
    const last = merged.at(-1);
    const gap = last && last.offset >= 0 ? parseInt(last.end, 16) - parseInt(last.start, 16) : 0;
    if (
      last?.end === mapping.start &&
      last.rest === mapping.rest &&
      (last.offset < 0 || last.offset + gap === mapping.offset)
    )
      last.end = mapping.end;
    else merged.push({ ...mapping });
  }
  return merged;
}

/** What glibc keeps for threads, and makes when it needs it: arenas, and stacks of threads that have ended. */
function withoutThreadMemory(mappings: readonly Mapping[]): Mapping[] {
  const bytesOf = (one: Mapping): number => parseInt(one.end, 16) - parseInt(one.start, 16);
  const isPair = (first: Mapping | undefined, second: Mapping | undefined): boolean => {
    if (!first || second?.start !== first.end) return false;
    const isArena =
      parseInt(first.start, 16) % ARENA_BYTES === 0 && bytesOf(first) + bytesOf(second) === ARENA_BYTES;
    const isStack =
      first.rest.startsWith('---p') && bytesOf(first) === 4096 && STACK_BYTES.includes(bytesOf(second));
    return isArena || isStack;
  };
  return mappings.filter((one, at) => !isPair(one, mappings[at + 1]) && !isPair(mappings[at - 1], one));
}

/** Under RLIMIT_AS a thread gets no arena; then each of its allocations is a small mapping, below glibc's limit. */
const isSmallAllocation = ({ start, end, rest }: Mapping): boolean =>
  /^rw-p {2}rd wr mr mw me$/.test(rest) && parseInt(end, 16) - parseInt(start, 16) <= 128 * 1024;

const read = (path: string): string => readFileSync(path, 'utf8');

interface Member {
  /** CRIU does not lock memory of a child again that its parent has at the same address. */
  isChild: boolean;
  /** It has a limit of its address space. */
  hasLimit: boolean;
}

function mappingLines(pid: number, { isChild, hasLimit }: Member): string[] {
  const all = withoutThreadMemory(merge(parseMappings(read(`/proc/${pid}/smaps`))));
  const lines = hasLimit ? all.filter((one) => !isSmallAllocation(one)) : all;
  return lines.map(({ start, end, rest: whole, offset }) => {
    const rest = isChild ? whole.replace(/ lo(?= |$)/, '') : whole;
    if (rest.includes('[stack]')) return `stack to ${end} ${rest}`;
    return `${start}-${end} ${rest}${offset < 0 ? '' : ` at ${offset}`}`;
  });
}

/** A thread may end, and a descriptor be closed, after its name was read: then there is no line about it. */
export function linesAbout<Name>(
  names: readonly Name[],
  describe: (name: Name) => string | undefined,
): string[] {
  return names.flatMap((name) => {
    try {
      return describe(name) ?? [];
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ESRCH')) return [];
      throw error;
    }
  });
}

/** Descriptors with their kind, flags and position. */
function descriptorLines(pid: number): string[] {
  const numbers = readdirSync(`/proc/${pid}/fd`)
    .map(Number)
    .sort((a, b) => a - b);
  return linesAbout(numbers, (number) => {
    const target = readlinkSync(`/proc/${pid}/fd/${number}`)
      .replace(/\[\d+\]/, '[…]')
      .replace(/ \(deleted\)$/, '');
    if (isDevice(target)) return undefined;
    const info = read(`/proc/${pid}/fdinfo/${number}`);
    const flags = /^flags:\s*(\d+)/m.exec(info)?.[1] ?? '';
    const position = target.startsWith('/') ? (/^pos:\s*(\d+)/m.exec(info)?.[1] ?? '') : '';
    return `${number} ${target.replace(/state-.*/, 'state')} ${flags} ${position}`;
  });
}

const STATUS =
  /^(?:Name|Umask|Uid|Gid|Groups|NoNewPrivs|Seccomp|CapEff|CapBnd|SigIgn|SigCgt|SigBlk|TracerPid):.*$/gm;

function threadLines(pid: number): string[] {
  return linesAbout(readdirSync(`/proc/${pid}/task`), (tid) => {
    const status = read(`/proc/${pid}/task/${tid}/status`);
    const state = /^State:\s*(\S)/m.exec(status)?.[1] ?? '';
    const words = (status.match(STATUS) ?? []).map((line) => line.replaceAll(/\s+/g, ' '));
    return `${tid} ${'tTZ'.includes(state) ? state : 'runs'} ${words.join('; ')}`;
  });
}

function outside(pid: number, member: Member): [string, string][] {
  const of = (name: string, lines: readonly string[]): [string, string] => [name, lines.join('\n')];
  return [
    of('mappings', mappingLines(pid, member)),
    of('descriptors', descriptorLines(pid)),
    of('threads', threadLines(pid)),
    of('limits', [read(`/proc/${pid}/limits`)]),
    of('timers', [read(`/proc/${pid}/timers`).replaceAll(/0x[0-9a-f]+|[0-9a-f]{16}/g, '')]),
    of('cwd', [readlinkSync(`/proc/${pid}/cwd`)]),
  ];
}

const hasLimit = (pid: number): boolean =>
  !/^Max address space +unlimited/m.test(read(`/proc/${pid}/limits`));

/** @throws when the program does not answer */
export async function takeFingerprint(machine: CampaignMachine, pid: number): Promise<Fingerprint> {
  const fingerprint: Fingerprint = new Map();
  const report = await askProgram(machine, ASK_MS);
  for (const word of report.trim().split(' ')) {
    const at = word.indexOf('=');
    fingerprint.set(word.slice(0, at), word.slice(at + 1));
  }
  for (const { pid: member } of readProcessTree(pid))
    for (const [name, text] of outside(member, { isChild: member !== pid, hasLimit: hasLimit(member) }))
      fingerprint.set(`${member} ${name}`, text);
  return fingerprint;
}

/** Memory of the parasite: code that CRIU maps into a task, and that stays there when criu is killed meanwhile. */
const PARASITE = '/memfd:CRIUMFD';

const withoutParasite = (text: string): string =>
  text
    .split('\n')
    .filter((line) => !line.includes(PARASITE))
    .join('\n');

/** The first lines that differ. */
function lineDifference(before: string, after: string): string {
  const was = before.split('\n');
  const is = after.split('\n');
  const lost = was.filter((line) => !is.includes(line));
  const added = is.filter((line) => !was.includes(line));
  return [...lost.slice(0, 3).map((line) => `-${line}`), ...added.slice(0, 3).map((line) => `+${line}`)].join(
    ' | ',
  );
}

/** Whether CRIU's parasite is in a process of the tree. */
export const hasParasite = (fingerprint: Fingerprint): boolean =>
  [...fingerprint.values()].some((text) => text.includes(PARASITE));

/** What differs, in words; empty when they are identical. CRIU's parasite is left out. */
export function compare(before: Fingerprint, after: Fingerprint): string {
  const names = new Set([...before.keys(), ...after.keys()]);
  const differences = [...names].flatMap((name) => {
    const was = before.get(name) ?? '';
    const is = withoutParasite(after.get(name) ?? '');
    return was === is ? [] : [`${name}: ${lineDifference(was, is)}`];
  });
  return differences.slice(0, 6).join('; ');
}
