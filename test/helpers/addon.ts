// SPDX-License-Identifier: MIT
/** Runs the addon in another thread or process, in plain JavaScript because Node does not run TypeScript there. */
import { createRequire } from 'node:module';
import { projectRoot } from '../../lib/paths.ts';

/** JavaScript (CommonJS) code in which `addon` is the addon and `driver` the handle of the opened driver. */
export function addonScript(body: string): string {
  const finder = createRequire(import.meta.url).resolve('node-gyp-build');
  return `
    const addon = require(${JSON.stringify(finder)})(${JSON.stringify(projectRoot)});
    addon.openDriver(process.env.CRIU_CUDA_DRIVER).then(async ({ handle: driver }) => { ${body} });`;
}
