// SPDX-License-Identifier: MIT
/** What the options of several `bench` commands have in common. */

/** A list joined by commas. */
export const words = (text: string): string[] => text.split(',').map((word) => word.trim());
