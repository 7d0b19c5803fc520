import { runnerImport } from 'vite';
process.argv.splice(1, 1);
await runnerImport(new URL('./k.ts', import.meta.url).pathname);
