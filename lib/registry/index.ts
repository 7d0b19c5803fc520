// SPDX-License-Identifier: MIT
/** Checkpoints in OCI registries. @module */
export { RegistryError } from './error.ts';
export { isReference } from './reference.ts';
export { checkImage, type ImageCheck, type ImageCheckOptions, type ImageProblem } from './check.ts';
export { inspectImage, type InspectedImage } from './inspect.ts';
export { cacheImage, pullImage, type CacheImageOptions, type PullOptions, type PullResult } from './pull.ts';
export { pushImage, type PushOptions, type PushResult } from './push/push.ts';
export type { ReceiveStripes, StripeReceiver } from './directory/stream.ts';
export type { CacheOptions } from './cache.ts';
export type { Block, Description, DriverStack, ImageFile, Layer, Piece } from './format.ts';
export type { RegistryOptions } from './skopeo.ts';
export type { PeerServerUse } from './peers/answer.ts';
export { servePeers, type PeerServer, type PeerServerOptions } from './peers/server.ts';
export type { PeerOptions } from './peers/find.ts';
