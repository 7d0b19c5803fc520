// SPDX-License-Identifier: MIT
/** What options of more than one `bench` command share. */

/** A list joined by commas. */
export const words = (text: string): string[] => text.split(',').map((word) => word.trim());
