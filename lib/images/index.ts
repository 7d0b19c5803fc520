// SPDX-License-Identifier: MIT
/**
 * GPU images: reads their manifests and checks their contents.
 * @module
 */
export { checkCheckpoint, missingFiles } from './check-checkpoint.ts';
export { checkpointRefusal, isStray, readCheckpointIndex } from './checkpoint-index.ts';
export { GpuImageError } from './error.ts';
export { moveChunks, movePageFile, type ChunkPlace } from './change.ts';
export { parseManifest } from './manifest.ts';
export { protocolRefusal, supportedProtocols } from './protocol.ts';
export { readPageImages } from './pages.ts';
export {
  listGpuImages,
  readGpuImage,
  readGpuImages,
  type FoundManifest,
  type GpuImage,
  type GpuStripe,
} from './read.ts';
export type {
  CheckpointIndex,
  CheckpointMember,
  DeviceFile,
  EmptiedMapping,
  GpuAllocation,
  GpuChunk,
  ImageGpu,
  GpuManifest,
  PageImage,
  PageMapping,
} from './types.ts';
export { verifyGpuImages, type VerifiedImage, type VerifyOptions } from './verify.ts';
