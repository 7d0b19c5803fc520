// SPDX-License-Identifier: MIT
/** An inference server as its clients see it: health, requests, open connections. @module */
export { ServerError } from './error.ts';
export { countConnections, untilNoConnections } from './connections.ts';
export { ask, parseServerUrl, tokenRate, type ServerAnswer, type RequestOptions } from './http.ts';
export { parseBody, Server, type Host, type ServerOptions } from './server.ts';
