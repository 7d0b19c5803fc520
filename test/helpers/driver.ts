// SPDX-License-Identifier: MIT
/** The driver that softcuda stands for in this run (SOFTCUDA_DRIVER), for tests that expect something else of each. */

const versions = { 580: 13000, 610: 13030, 615: 13040 } as const;

/** 580 is softcuda's default. */
const release = process.env.SOFTCUDA_DRIVER ?? '580';

/** The version of CUDA that the driver implements, as it says. */
export const cudaVersion = new Map(Object.entries(versions)).get(release);

/** Whether the driver hands over memory that no interceptor has taken, so that it gets a GPU image as well. */
export const hasStorage = release === '615';
