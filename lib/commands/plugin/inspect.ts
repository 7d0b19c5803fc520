// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import { addExamples } from '../../command-line/index.ts';
import { inspectPlugin, type PluginInfo, type PluginKind } from '../../inspect/index.ts';
import { formatBytes, table, type Io } from '../../output.ts';

const kindText: Record<PluginKind, string> = {
  'criu-cuda': "criu-cuda's CUDA plugin",
  'upstream-cuda': "CRIU's own CUDA plugin",
  other: 'a CRIU plugin, not for CUDA',
  'not-a-plugin': 'not a CRIU plugin',
};

function infoText(info: PluginInfo): string {
  const { descriptor } = info;
  const rows: [string, string | undefined][] = [
    ['file', info.path],
    ['is', `${kindText[info.kind]}${info.reason === undefined ? '' : `: ${info.reason}`}`],
    ['variant', info.variant],
    ['version', info.version],
    ['registers as', descriptor?.name],
    ['plugin interface', descriptor?.interfaceVersion],
    ['hooks known', descriptor?.maxHooks.toString()],
    [
      'hooks used',
      descriptor &&
        `${descriptor.hooks.join('\n')}${descriptor.hooksFrom === 'names' ? '\n(inferred from function names: constructors register the hooks)' : ''}`,
    ],
    ['needs', info.needed?.join('\n')],
    ['machine', info.machine],
    ['size', formatBytes(info.sizeBytes)],
    ['build id', info.buildId],
    ['sha256', info.sha256],
  ];
  return table(
    [],
    rows.filter((row): row is [string, string] => row[1] !== undefined && row[1] !== ''),
  );
}

export function defineInspect(command: Command, io: Io): void {
  addExamples(command, 'criu-cuda inspect /usr/lib/criu/cuda_plugin.so');
  command.argument('<plugin.so>', 'file of a plugin').action((path: string) => {
    const info = inspectPlugin(path);
    io.result(info, () => infoText(info));
    if (info.kind === 'not-a-plugin') io.exitCode = 1;
  });
}
