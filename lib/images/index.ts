// SPDX-License-Identifier: MIT
/**
 * GPU images: reading their manifests and checking their contents.
 * @module
 */
export { GpuImageError } from './error.ts';
export {
  parseManifest,
  type GpuAllocation,
  type GpuChunk,
  type GpuDevice,
  type GpuManifest,
} from './manifest.ts';
export { readPageImages, type PageImage, type PageMapping } from './pages.ts';
export { listGpuImages, readGpuImage, readGpuImages, type GpuImage, type GpuStripe } from './read.ts';
export { verifyGpuImages, type VerifiedImage, type VerifyOptions } from './verify.ts';
