// SPDX-License-Identifier: MIT
/** The addon in another thread or process: plain JavaScript, because Node runs no TypeScript there. */
import { createRequire } from 'node:module';
import { projectRoot } from '../../lib/paths.ts';

/** JavaScript (CommonJS) in which `addon` is the addon and `driver` the opened driver's handle. */
export function addonScript(body: string): string {
  const finder = createRequire(import.meta.url).resolve('node-gyp-build');
  return `
    const addon = require(${JSON.stringify(finder)})(${JSON.stringify(projectRoot)});
    addon.openDriver(process.env.CRIU_CUDA_DRIVER).then(async ({ handle: driver }) => { ${body} });`;
}
