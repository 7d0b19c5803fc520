// SPDX-License-Identifier: MIT
/**
 * Finds the charting library: one file, which the build copies next to the compiled code, so that the package does
 * not depend on all of it.
 * @module
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** The options of a chart, as the charting library takes them. */
export interface ChartOption {
  grid?: object;
  legend?: object;
}

/** The path of the library's file, a CommonJS module and a browser script at once. */
export function echartsFile(): string {
  const copied = fileURLToPath(new URL('../vendor/echarts/echarts.min.cjs', import.meta.url));
  if (existsSync(copied)) return copied;
  return createRequire(import.meta.url).resolve('echarts/dist/echarts.min.js'); // in lib/, not compiled
}
