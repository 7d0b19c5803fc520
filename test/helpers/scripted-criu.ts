// SPDX-License-Identifier: MIT
/**
 * Images with the contents a test needs, and a shell script instead of criu: for decisions that a restore makes before
 * and after criu, which a test with a real criu would see only by luck.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

const COMMON_MAGIC = 0x54564319;
const PSTREE_MAGIC = 0x50273030;
const INVENTORY_MAGIC = 0x58313116;

/** A message as in CRIU's image files, with its length in front. */
function entry(message: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(message.length);
  return Buffer.concat([length, message]);
}

function head(...magic: number[]): Buffer {
  const bytes = Buffer.alloc(4 * magic.length);
  magic.forEach((value, index) => bytes.writeUInt32LE(value, 4 * index));
  return bytes;
}

export interface ImagesOptions {
  /** Session of the only task, whose pid is 1: in its own pid namespace. @default 1, which it leads */
  session?: number;
  /** Plugins that a restore needs. @default none */
  plugins?: readonly string[];
}

/** Writes the two images that a restore reads before it starts criu, and one that only has to be there. */
export function writeImages(dir: string, { session = 1, plugins = [] }: ImagesOptions = {}): void {
  mkdirSync(dir, { recursive: true });
  const task = new BinaryWriter();
  for (const [number, value] of [1, 0, 1, session, 1].entries())
    task.tag(number + 1, WireType.Varint).uint32(value);
  writeFileSync(
    join(dir, 'pstree.img'),
    Buffer.concat([head(COMMON_MAGIC, PSTREE_MAGIC), entry(task.finish())]),
  );
  const names = new BinaryWriter();
  for (const name of plugins) names.tag(12, WireType.LengthDelimited).string(name);
  const inventory = new BinaryWriter().tag(12, WireType.LengthDelimited).bytes(names.finish());
  writeFileSync(
    join(dir, 'inventory.img'),
    Buffer.concat([head(INVENTORY_MAGIC), entry(inventory.finish())]),
  );
  writeFileSync(join(dir, 'core-1.img'), '');
}

/**
 * Writes a program that replaces criu, and a file that passes for its plugin. In the script, `$pidfile` is the value of
 * `--pidfile`; a process that the script starts in the background is its restored task.
 */
export function writeCriu(dir: string, script: string): { criu: string; libdir: string } {
  const criu = join(dir, 'criu');
  const pidfile = 'for word; do [ "$last" = --pidfile ] && pidfile=$word; last=$word; done';
  writeFileSync(criu, `#!/bin/sh\n${pidfile}\n${script}\n`, { mode: 0o755 });
  writeFileSync(join(dir, 'cuda_plugin.so'), '');
  return { criu, libdir: dir };
}
