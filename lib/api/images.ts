// SPDX-License-Identifier: MIT
/**
 * The GPU images and page files of a checkpoint: what they contain, and whether they are complete.
 * @module images
 */
export { describeError, EnvironmentError, ToolkitError, UsageError } from '../errors.ts';
export {
  GpuImageError,
  listGpuImages,
  protocolRefusal,
  readCheckpointIndex,
  readGpuImage,
  readGpuImages,
  readPageImages,
  verifyGpuImages,
  type CheckpointIndex,
  type CheckpointMember,
  type DeviceFile,
  type FoundManifest,
  type GpuAllocation,
  type GpuChunk,
  type GpuImage,
  type GpuManifest,
  type GpuStripe,
  type ImageGpu,
  type PageImage,
  type EmptiedMapping,
  type PageMapping,
  type VerifiedImage,
  type VerifyOptions,
} from '../images/index.ts';
