// SPDX-License-Identifier: MIT
/** The driver that softcuda stands for in this run (SOFTCUDA_DRIVER), for tests that expect something else of each. */

/** A release, such as 580, which is softcuda's default. */
const release = Number(process.env.SOFTCUDA_DRIVER ?? 580);

/** Whether the driver hands over memory that no interceptor has taken, so that it gets a GPU image as well. */
export const hasStorage = release >= 615;
