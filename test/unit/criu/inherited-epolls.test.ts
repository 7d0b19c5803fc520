// SPDX-License-Identifier: MIT
/** An epoll is restored in the process with the lowest pid that has it, and there its descriptors must be. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { separateEpolls } from '../../../lib/criu/open/inherited-epolls.ts';
import {
  FdinfoEntrySchema,
  FileEntrySchema,
  PstreeEntrySchema,
  TaskKobjIdsEntrySchema,
} from '../../../lib/criu/gen/images_pb.ts';
import { appendToImage, imageMagic, readImage, type ImageKind } from '../../../lib/criu/image.ts';
import type { Schema } from '../../../lib/protobuf.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-epolls-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

function write<Message extends object>(
  name: string,
  kind: ImageKind,
  schema: Schema<Message>,
  messages: Partial<Message>[],
): void {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x54564319, 0);
  head.writeUInt32LE(imageMagic[kind], 4);
  writeFileSync(join(dir, name), head);
  appendToImage(join(dir, name), schema, messages);
}

const [LISTENING, CONNECTION, EPOLL] = [10, 11, 12];
/** The parent has opened the connection after the fork. */
const ofParent = { 3: LISTENING, 4: EPOLL, 5: CONNECTION };

/** Writes a parent with pid 200, and a child; descriptors are the ids of their files, by number. */
function writeTree(childPid: number, ofChild: Record<number, number>): void {
  write('pstree.img', 'pstree', PstreeEntrySchema, [
    { pid: 200, ppid: 0 },
    { pid: childPid, ppid: 200 },
  ]);
  write('files.img', 'files', FileEntrySchema, [
    { id: LISTENING, type: 2 },
    { id: CONNECTION, type: 2 },
    { id: EPOLL, type: 7, epfd: { id: EPOLL, tfd: [{ tfd: 3 }, { tfd: 5 }] } },
  ]);
  for (const [pid, filesId, descriptors] of [
    [200, 1, ofParent],
    [childPid, 2, ofChild],
  ] as const) {
    write(`ids-${pid}.img`, 'ids', TaskKobjIdsEntrySchema, [{ filesId }]);
    const entries = Object.entries(descriptors).map(([fd, id]) => ({ fd: Number(fd), id }));
    write(`fdinfo-${filesId}.img`, 'fdinfo', FdinfoEntrySchema, entries);
  }
}

const epolls = (): unknown =>
  readImage(join(dir, 'files.img'), 'files', FileEntrySchema)?.flatMap(({ id, epfd }) =>
    epfd ? [[id, epfd.id, epfd.tfd.map(({ tfd }) => tfd)]] : [],
  );

function descriptorsOf(filesId: number): Record<number, number | undefined> {
  const entries = readImage(join(dir, `fdinfo-${filesId}.img`), 'fdinfo', FdinfoEntrySchema) ?? [];
  return Object.fromEntries(entries.map(({ fd = 0, id }) => [fd, id]));
}

const OWN = 13;

it.each([
  ['does not have what was opened since', { 3: LISTENING, 4: EPOLL }],
  ['has another file there', { 3: LISTENING, 4: EPOLL, 5: LISTENING }],
])('gives a child with a lower pid that %s an epoll of its own', (_, ofChild) => {
  writeTree(100, ofChild);
  separateEpolls(dir);
  expect(epolls()).toEqual([
    [EPOLL, EPOLL, [3, 5]],
    [OWN, OWN, [3]],
  ]);
  expect(descriptorsOf(1)).toEqual(ofParent);
  expect(descriptorsOf(2)).toEqual({ ...ofChild, 4: OWN });
});

it.each([
  ['has a higher pid', 300, { 3: LISTENING, 4: EPOLL }],
  ['has all that is watched', 100, ofParent],
  ['does not have it', 100, { 3: LISTENING }],
])('leaves the epoll as it is when a child %s', (_, childPid, ofChild) => {
  writeTree(childPid, ofChild);
  const before = readFileSync(join(dir, 'files.img'));
  separateEpolls(dir);
  expect(readFileSync(join(dir, 'files.img'))).toEqual(before);
  expect(descriptorsOf(2)).toEqual(ofChild);
});
