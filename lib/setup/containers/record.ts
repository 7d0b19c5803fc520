// SPDX-License-Identifier: MIT
/**
 * The record of what setup created on this machine, so that undo removes that and nothing else.
 * @module
 */
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { SetupError } from '../error.ts';

const entrySchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('file'), path: z.string(), sha256: z.string() }),
  z.object({ kind: z.literal('link'), path: z.string(), target: z.string() }),
  z.object({ kind: z.literal('mount'), path: z.string() }),
  z.object({ kind: z.literal('directory'), path: z.string() }),
]);
const recordSchema = z.object({ schemaVersion: z.literal(1), entries: z.array(entrySchema) });

export type SetupEntry = z.infer<typeof entrySchema>;

const sha256 = (content: string): string => createHash('sha256').update(content).digest('hex');

/** The state of a path, compared with what setup wants there. */
export type PathState =
  /** As wanted, no matter who created it. */
  | 'done'
  /** Nothing is there, or an earlier version that setup wrote. */
  | 'free'
  /** Not written by setup, or changed since then. */
  | 'foreign';

/** What became of everything that setup had put on the machine. */
export interface UndoneSetup {
  /** Paths that were removed. */
  removed: string[];
  /** Paths that stay, because they were changed since. */
  left: string[];
}

/** @returns false when somebody else's files are in it */
function removeEmpty(dir: string): boolean {
  if (!existsSync(dir)) return true;
  if (readdirSync(dir).length > 0) return false;
  rmdirSync(dir);
  return true;
}

export class SetupRecord {
  readonly path: string;
  #entries: SetupEntry[];

  private constructor(path: string, entries: SetupEntry[]) {
    this.path = path;
    this.#entries = entries;
  }

  /** @param root directory that contains everything: `/`, except in tests */
  static read(root: string): SetupRecord {
    const path = join(root, 'var/lib/criu-cuda/containers.json');
    if (!existsSync(path)) return new SetupRecord(path, []);
    try {
      return new SetupRecord(path, recordSchema.parse(JSON.parse(readFileSync(path, 'utf8'))).entries);
    } catch (cause) {
      throw new SetupError('ERR_HOST', `${path} is damaged`, {
        cause,
        hint: 'it lists what setup created; without it, remove that by hand',
      });
    }
  }

  get entries(): readonly SetupEntry[] {
    return this.#entries;
  }

  #save(): void {
    this.#addMissing(dirname(this.path));
    writeFileSync(
      `${this.path}.tmp`,
      `${JSON.stringify({ schemaVersion: 1, entries: this.#entries }, null, 1)}\n`,
    );
    renameSync(`${this.path}.tmp`, this.path);
  }

  /** Creates a directory and its missing parents; the caller saves the record. */
  #addMissing(dir: string, mode?: number): void {
    if (existsSync(dir)) return;
    this.#addMissing(dirname(dir));
    this.#entries.push({ kind: 'directory', path: dir });
    mkdirSync(dir, { mode });
  }

  /** Recorded before the step runs, so that an interrupted step can be undone. */
  #add(entry: SetupEntry): void {
    this.#entries = [...this.#entries.filter((one) => one.path !== entry.path), entry];
    this.#save();
  }

  isOurs(path: string): boolean {
    const entry = this.#entries.find((one) => one.path === path);
    if (!entry) return false;
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (!stat) return true;
    if (entry.kind === 'link') return stat.isSymbolicLink() && readlinkSync(path) === entry.target;
    if (entry.kind === 'file') return stat.isFile() && sha256(readFileSync(path, 'utf8')) === entry.sha256;
    return true;
  }

  fileState(path: string, content: string): PathState {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (!stat) return 'free';
    if (stat.isFile() && readFileSync(path, 'utf8') === content) return 'done';
    return this.isOurs(path) ? 'free' : 'foreign';
  }

  linkState(path: string, target: string): PathState {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (!stat) return 'free';
    if (stat.isSymbolicLink() && readlinkSync(path) === target) return 'done';
    return this.isOurs(path) ? 'free' : 'foreign';
  }

  /** Creates a directory and its missing parents, and records those. */
  makeDirectory(path: string, mode?: number): void {
    this.#addMissing(path, mode);
    this.#save();
  }

  writeFile(path: string, content: string): void {
    this.#add({ kind: 'file', path, sha256: sha256(content) });
    this.makeDirectory(dirname(path));
    writeFileSync(`${path}.criu-cuda`, content, { mode: 0o644 });
    renameSync(`${path}.criu-cuda`, path);
  }

  makeLink(path: string, target: string): void {
    this.#add({ kind: 'link', path, target });
    this.makeDirectory(dirname(path));
    rmSync(path, { force: true });
    symlinkSync(target, path);
  }

  addMount(path: string): void {
    this.#add({ kind: 'mount', path });
  }

  /**
   * Undoes everything, last step first; directories go when nothing else is in them.
   * @param unmount unmounts a path if it is still mounted; after a reboot it is not
   * @returns the paths that were removed, and those that were left because they have changed
   */
  async undo(unmount: (path: string) => Promise<void>): Promise<UndoneSetup> {
    const [removed, left]: [string[], string[]] = [[], []];
    const isDirectory = (entry: SetupEntry): boolean => entry.kind === 'directory';
    for (const entry of this.#entries.filter((one) => !isDirectory(one)).reverse()) {
      if (!this.isOurs(entry.path)) {
        left.push(entry.path);
        continue;
      }
      if (entry.kind === 'mount') await unmount(entry.path);
      else rmSync(entry.path, { force: true });
      const isGone = entry.kind !== 'mount' || removeEmpty(entry.path);
      (isGone ? removed : left).push(entry.path);
      this.#entries = this.#entries.filter((one) => one !== entry);
      this.#save();
    }
    rmSync(this.path, { force: true });
    // a directory is recorded after its parents
    for (const { path } of this.#entries.filter(isDirectory).reverse()) {
      if (existsSync(path) && removeEmpty(path)) removed.push(path);
    }
    this.#entries = [];
    return { removed, left };
  }
}
