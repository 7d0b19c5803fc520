// SPDX-License-Identifier: MIT
/**
 * What was learned about programs of this machine, kept in the user's cache. A fact holds while the program's file is
 * the same and the machine has not been booted again.
 * @module
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { keepOwnFile, ownCacheDir, readOwnFile } from '../own-cache.ts';
import type { Environment } from '../paths.ts';

/** What a fact is about. */
export interface Subject {
  /** What is asked, such as `criu-version`. */
  question: string;
  /** Absolute paths of the programs that the answer depends on; one need not exist. */
  programs: readonly string[];
  /** What else it depends on, such as a namespace. @default nothing */
  circumstances?: string | undefined;
}

const MAX_FILE_BYTES = 65_536;

/** A text that changes with the file: its content is not read. */
function stateOf(path: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return [path, dev, ino, size, mtimeNs, ctimeNs].join(' ');
  } catch {
    return `${path} missing`;
  }
}

/** The id of this machine's start. */
export const readBootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

/** @returns `undefined` where the kernel does not say: then nothing is kept */
function bootId(): string | undefined {
  try {
    return readBootId();
  } catch {
    return undefined;
  }
}

function readFact(path: string, key: string): unknown {
  try {
    const text = readOwnFile(path, MAX_FILE_BYTES)?.toString('utf8') ?? 'null';
    const fact = JSON.parse(text) as { key?: unknown; answer?: unknown } | null;
    return fact?.key === key ? fact.answer : undefined;
  } catch {
    return undefined; // it is damaged
  }
}

const keepFact = (path: string, key: string, answer: unknown): void => {
  keepOwnFile(path, JSON.stringify({ key, answer }));
};

interface Place {
  path: string;
  key: string;
}

/**
 * A file name for these words: 64 bits of FNV-1a, which is enough, because a file of other words has another key. Node's own
 * hashes take longer to load than all facts to read.
 */
function nameOf(words: readonly string[]): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(words.join('\0')))
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, '0');
}

/** Where a fact is kept; `undefined` where none can be. */
function placeOf({ question, programs, circumstances = '' }: Subject, env: Environment): Place | undefined {
  const boot = bootId();
  const dir = boot === undefined ? undefined : ownCacheDir('facts', env);
  if (boot === undefined || dir === undefined) return undefined;
  const key = [question, boot, circumstances, ...programs.map(stateOf)].join('\n');
  return { path: join(dir, `${nameOf([question, ...programs])}.json`), key };
}

/**
 * What is known about programs.
 * @param isAnswer whether what the file has is an answer; a file of an earlier version may have another
 */
export function recall<Answer>(
  subject: Subject,
  isAnswer: (value: unknown) => value is Answer,
  env: Environment = process.env,
): Answer | undefined {
  const place = placeOf(subject, env);
  const kept = place && readFact(place.path, place.key);
  return isAnswer(kept) ? kept : undefined;
}

/** Keeps what was learned about programs. */
export function keep(subject: Subject, answer: unknown, env: Environment = process.env): void {
  const place = placeOf(subject, env);
  if (place) keepFact(place.path, place.key, answer);
}

/** The answer to a question about programs: the kept one, else what `learn` finds, which is then kept. */
export function learnedNow<Answer>(
  subject: Subject,
  isAnswer: (value: unknown) => value is Answer,
  learn: () => Answer,
  env: Environment = process.env,
): Answer {
  const known = recall(subject, isAnswer, env);
  if (known !== undefined) return known;
  const answer = learn();
  keep(subject, answer, env);
  return answer;
}

/**
 * The same for what takes longer: the kept one, else what `learn` finds, which is then kept.
 * @param learn `undefined` is returned, and not kept
 */
export async function learned<Answer>(
  subject: Subject,
  isAnswer: (value: unknown) => value is Answer,
  learn: () => Promise<Answer | undefined>,
  env: Environment = process.env,
): Promise<Answer | undefined> {
  const known = recall(subject, isAnswer, env);
  if (known !== undefined) return known;
  const answer = await learn();
  if (answer !== undefined) keep(subject, answer, env);
  return answer;
}
