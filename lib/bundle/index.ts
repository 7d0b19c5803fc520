// SPDX-License-Identifier: MIT
/** Everything for machines without compilers, in one file. @module */
export { copyArtifacts } from './artifacts.ts';
export { compressorOf, type Compressor } from './compressor.ts';
export { createBundle, type BundleOptions, type BundleResult } from './bundle.ts';
export { parseLdd } from './libraries.ts';
export { runtimePackages, type InstalledPackage } from './modules.ts';
export type { BundleFacts } from './wrappers.ts';
