// SPDX-License-Identifier: MIT
/**
 * Reads what an image is, without its blocks.
 * @module
 */
import {
  digestOf,
  encryptedDescriptionType,
  parseDescription,
  parseManifest,
  type Description,
  type Layer,
} from './format.ts';
import { RegistryError } from './error.ts';
import { parseReference, type Reference } from './reference.ts';
import { fetchConfig, fetchManifest, type RegistryOptions } from './skopeo.ts';

/** An image in a registry, as far as its manifest and its description tell. */
export interface InspectedImage {
  /** With tag or digest. */
  reference: string;
  /** Of the manifest. */
  digest: string;
  /** What is in it, and what it needs. */
  description: Description;
  /** What is stored: blocks, and the description of an encrypted image. */
  layers: Layer[];
}

/** The image of a reference, and the reference of what was found, which no later push changes. */
export interface FoundImage extends InspectedImage {
  parsed: Reference;
  /** The repository and the manifest's digest. */
  pinned: string;
}

/** Each block has a layer: those that differ, in their order. */
function checkLayers({ description, layers, reference }: InspectedImage): void {
  const { isEncrypted, blocks } = description;
  const wanted = [...new Set(blocks.map(({ digest }) => digest))];
  const isComplete = isEncrypted
    ? layers.at(-1)?.mediaType === encryptedDescriptionType
    : wanted.length === layers.length && layers.every(({ digest }, index) => digest === wanted[index]);
  if (isComplete) return;
  throw new RegistryError('ERR_REGISTRY_IMAGE', `${reference} is damaged: its layers are not its blocks`, {
    hint: 'push the checkpoint again',
  });
}

/** Finds the image. @throws {@link RegistryError} there is none, or it is not a checkpoint */
export async function findImage(reference: string, options: RegistryOptions): Promise<FoundImage> {
  const parsed = parseReference(reference);
  const text = await fetchManifest(parsed, options);
  const digest = digestOf(text);
  const { config, layers } = parseManifest(text, parsed.text);
  const pinned = `${parsed.registry}/${parsed.repository}@${digest}`;
  const described = await fetchConfig(parseReference(pinned), options);
  if (digestOf(described) !== config.digest)
    throw new RegistryError(
      'ERR_REGISTRY_IMAGE',
      `the description of ${parsed.text} has other bytes than its digest ${config.digest} says`,
      { hint: 'push the checkpoint again' },
    );
  const image = {
    ...{ reference: parsed.text, digest, layers, parsed, pinned },
    description: parseDescription(described, parsed.text),
  };
  checkLayers(image);
  return image;
}

/** Reads what an image is: the driver stack that it needs, its files and blocks. No block is moved. */
export async function inspectImage(
  reference: string,
  options: RegistryOptions = {},
): Promise<InspectedImage> {
  const { digest, description, layers, reference: text } = await findImage(reference, options);
  return { reference: text, digest, description, layers };
}
