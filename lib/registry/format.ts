// SPDX-License-Identifier: MIT
/**
 * A checkpoint in a registry: an OCI image manifest with an artifact type; its config is the description below, and its
 * layers are blocks. docs/registry.md explains both.
 * @module
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { RegistryError } from './error.ts';

/** The manifest's media type. */
export const manifestType = 'application/vnd.oci.image.manifest.v1+json';

/** What the artifact is. */
export const artifactType = 'application/vnd.criu-cuda.checkpoint.v1';

/** Media types of the blobs. */
export const mediaTypes = {
  description: 'application/vnd.criu-cuda.checkpoint.description.v1+json',
  /** CRIU's images and other small files, one after the other. */
  small: 'application/vnd.criu-cuda.checkpoint.small.v1',
  /** Pages of host memory. */
  pages: 'application/vnd.criu-cuda.checkpoint.pages.v1',
  /** Device memory: a stripe of a GPU image, as it is. */
  stripe: 'application/vnd.criu-cuda.checkpoint.stripe.v1',
} as const;

/** What the media type of a compressed layer has after that of its block; an encrypted one is compressed first. */
const COMPRESSED = /\+zstd(?:\+age)?$/;

/** Whether the bytes of a layer are those of its block, compressed. */
export const isCompressed = ({ mediaType }: Pick<Layer, 'mediaType'>): boolean => COMPRESSED.test(mediaType);

/** The description of an encrypted image, as its last layer. */
export const encryptedDescriptionType = `${mediaTypes.description}+age`;

/** What a block contains. */
export type BlockKind = 'small' | 'pages' | 'stripe';

/** Registry clients read no larger config. Bytes. */
export const maxDescriptionBytes = 4 * 2 ** 20;

const count = z.int().nonnegative();
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const SHA256 = /^[0-9a-f]{64}$/;
/** A file name that means the same in every directory. */
const FILE_NAME = /^[\w][\w.+-]{0,200}$/;

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isText = (value: unknown, pattern: RegExp): value is string =>
  typeof value === 'string' && pattern.test(value);

const stackSchema = z.object({
  /** Version of the CUDA driver API that GPU images were made with, 13000 for 13.0; null without GPU images. */
  driver: count.nullable(),
  /** The GPUs that the processes had memory on, each with the bytes that they had there. */
  gpus: z.array(
    z.object({
      /** As `nvidia-smi -L` prints it. */
      uuid: z.string(),
      /** Name from the CUDA driver. */
      name: z.string(),
      /** Bytes of device memory. */
      bytes: count,
    }),
  ),
  /** Machine, as in uname: `x86_64`. */
  architecture: z.string(),
  /** Release of the kernel, as in uname. */
  kernel: z.string().nullable(),
  /** Version of CRIU. */
  criu: z.string().nullable(),
  /** CRIU's description of the CPU, `cpuinfo.img` in base64. */
  cpu: z.string().nullable(),
  /** Version of criu-cuda that made the checkpoint. */
  plugin: z.string().nullable(),
  /** Variants of the plugin that can restore it; null: every CUDA plugin can. */
  variants: z.string().nullable(),
  /** The interceptor in the processes, which CRIU maps from its path. */
  interceptor: z
    .object({
      /** Of the library. */
      path: z.string(),
      /** Hexadecimal. */
      buildId: z.string(),
    })
    .nullable(),
  /** Protocol of that interceptor. */
  protocol: count.nullable(),
  /** Number of processes. */
  processes: count,
});

/** What a restore needs of a machine. What is not known is null. */
export type DriverStack = z.infer<typeof stackSchema>;

/** One file of a checkpoint. */
export interface ImageFile {
  /** Without a directory. */
  name: string;
  /** Bytes, including those that are zero and in no block. */
  size: number;
  /** Permission bits. */
  mode: number;
  /** Time of its last change, seconds since 1970. */
  modified: number;
  /** Index of the block that is this file, as it is. */
  block?: number | undefined;
}

/** A part of a block that has a checksum of its own. */
export interface Piece {
  /** First byte in the block. */
  offset: number;
  /** Bytes. */
  length: number;
  /** Of its bytes. */
  sha256: string;
  /** Index of the file that it belongs to; absent when the block is the file. */
  file?: number | undefined;
  /** First byte in the file. */
  at?: number | undefined;
}

/** A part of a checkpoint that is stored and moved as one. Images that have the same block share it. */
export interface Block {
  /** What it contains. */
  kind: BlockKind;
  /** Of the block before it is compressed and encrypted. */
  digest: string;
  /** Bytes. */
  size: number;
  /** What it contains, by offset. Between pieces, bytes are zero. */
  pieces: Piece[];
}

/** A blob, as manifests describe it. */
export interface Layer {
  /** What the blob is. */
  mediaType: string;
  /** Of its bytes, `sha256:…`. */
  digest: string;
  /** Bytes. */
  size: number;
}

/** An image has hundreds of these, and thousands of pieces: schemas for them would take longer than all else that is read. */
type Unchecked<T> = Partial<Record<keyof T, unknown>> | null;

const isFile = (value: unknown): value is ImageFile => {
  const { name, size, mode, modified, block } = (value as Unchecked<ImageFile>) ?? {};
  return (
    isText(name, FILE_NAME) &&
    isCount(size) &&
    isCount(mode) &&
    mode <= 0o777 &&
    Number.isFinite(modified) &&
    (block === undefined || isCount(block))
  );
};

const isPiece = (value: unknown): value is Piece => {
  const { offset, length, sha256, file, at } = (value as Unchecked<Piece>) ?? {};
  return (
    isCount(offset) &&
    isCount(length) &&
    length > 0 &&
    isText(sha256, SHA256) &&
    (file === undefined || isCount(file)) &&
    (at === undefined || isCount(at))
  );
};

const isBlock = (value: unknown): value is Block => {
  const { kind, digest, size, pieces } = (value as Unchecked<Block>) ?? {};
  return (
    (kind === 'small' || kind === 'pages' || kind === 'stripe') &&
    isText(digest, DIGEST) &&
    isCount(size) &&
    size > 0 &&
    Array.isArray(pieces) &&
    pieces.every(isPiece)
  );
};

const isLayer = (value: unknown): value is Layer => {
  const { mediaType, digest, size } = (value as Unchecked<Layer>) ?? {};
  return typeof mediaType === 'string' && isText(digest, DIGEST) && isCount(size);
};

const listOf = <T>(isOne: (value: unknown) => value is T, what: string) =>
  z.custom<T[]>((value) => Array.isArray(value) && value.every(isOne), `a ${what} is not one`);

/** What is in a checkpoint, and where. */
export const contentsSchema = z.object({
  /** All files of the images directory. */
  files: listOf(isFile, 'file'),
  /** In the order of the layers; one that occurs twice has one layer. */
  blocks: listOf(isBlock, 'block'),
});

/** What manifests say of their blobs. */
export const layersSchema = listOf(isLayer, 'layer');

const descriptionSchema = z.object({
  /** Of this description. */
  schemaVersion: z.literal(1),
  /** Version of criu-cuda that pushed it. */
  tool: z.string(),
  /** When the checkpoint was made. */
  created: z.iso.datetime(),
  /** What a restore needs of a machine. */
  stack: stackSchema,
  /** Files and blocks are in the last layer, encrypted. */
  isEncrypted: z.boolean(),
  ...contentsSchema.shape,
});

/** What is in a checkpoint, and where. */
export type Description = z.infer<typeof descriptionSchema>;

const manifestSchema = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  artifactType: z.string().optional(),
  config: z.custom<Layer>(isLayer, 'not a blob'),
  layers: layersSchema,
});

/** An OCI image manifest. */
export type OciManifest = z.infer<typeof manifestSchema>;

const damaged = (what: string, cause: unknown): RegistryError =>
  new RegistryError('ERR_REGISTRY_IMAGE', `${what} is damaged`, {
    cause,
    hint: 'push the checkpoint again, with a version of criu-cuda that is not newer than this one',
  });

/** @throws {@link RegistryError} it is not the manifest of a checkpoint */
export function parseManifest(text: string, name: string): OciManifest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw damaged(`the manifest of ${name}`, error);
  }
  const parsed = manifestSchema.safeParse(value);
  if (parsed.data?.artifactType !== artifactType)
    throw new RegistryError('ERR_REGISTRY_IMAGE', `${name} is not a checkpoint of criu-cuda`, {
      hint: 'only criu-cuda image push writes one',
    });
  return parsed.data;
}

/** Everything that indexes and ranges have to satisfy. */
function checkDescription({ files, blocks }: Description): void {
  const names = new Set(files.map(({ name }) => name));
  if (names.size !== files.length) throw new Error('two files have one name');
  for (const { name, block, size } of files) {
    if (block !== undefined && blocks[block]?.size !== size) throw new Error(`${name} is not its block`);
  }
  for (const [index, block] of blocks.entries()) {
    let end = 0;
    for (const { offset, length, file, at = 0 } of block.pieces) {
      if (offset < end || offset + length > block.size) throw new Error(`pieces of block ${index}`);
      end = offset + length;
      const target = file === undefined ? undefined : files[file];
      const isInside = target !== undefined && target.block === undefined && at + length <= target.size;
      if (block.kind === 'stripe' ? file !== undefined : !isInside)
        throw new Error(`a piece of block ${index} has no place in a file`);
    }
  }
}

/** @throws {@link RegistryError} it is damaged, or of a later version */
export function parseDescription(text: string, name: string): Description {
  try {
    const description = descriptionSchema.parse(JSON.parse(text));
    checkDescription(description);
    return description;
  } catch (error) {
    throw damaged(`the description of ${name}`, error);
  }
}

/** The digest of bytes, as registries write it. */
export const digestOf = (bytes: string | Uint8Array): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** Hexadecimal digits of a digest, which are a blob's file name. */
export const hexOf = (one: string): string => one.slice('sha256:'.length);
