// SPDX-License-Identifier: MIT
/**
 * The GPU images and page files of a checkpoint: what they contain, and whether they are complete. Checkpoints in
 * registries.
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
export {
  cacheImage,
  checkImage,
  inspectImage,
  pullImage,
  pushImage,
  RegistryError,
  type Block,
  type CacheImageOptions,
  type CacheOptions,
  type Description,
  type DriverStack,
  type ImageCheck,
  type ImageCheckOptions,
  type ImageFile,
  type ImageProblem,
  type InspectedImage,
  type Layer,
  type Piece,
  type PullOptions,
  type PullResult,
  type PushOptions,
  type PushResult,
  type ReceiveStripes,
  type RegistryOptions,
  type StripeReceiver,
} from '../registry/index.ts';
export type { OnTransfer, TransferProgress } from '../process/index.ts';
