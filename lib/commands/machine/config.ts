// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import { addExamples, addOutput } from '../../command-line/index.ts';
import {
  acceptedText,
  definitionOf,
  loadSettings,
  settingKeys,
  writeSettingsFile,
  type LoadedSettings,
  type SettingKey,
} from '../../settings/index.ts';
import { table, type Io } from '../../output.ts';
import { configFile } from '../../paths.ts';

function originText(loaded: LoadedSettings, key: SettingKey): string {
  const { source, line } = loaded.origins[key];
  return source === 'file' ? `${loaded.file}:${line ?? ''}` : source;
}

function showConfig(io: Io): void {
  const loaded = loadSettings();
  const rows = settingKeys.map((key) => ({
    key,
    value: loaded.settings[key],
    origin: originText(loaded, key),
    default: definitionOf(key).default,
    accepted: acceptedText(definitionOf(key)),
    meaning: definitionOf(key).meaning,
  }));
  io.result({ file: loaded.file, fileExists: loaded.fileExists, settings: rows }, () => {
    const text = table(
      ['setting', 'value', 'from', 'meaning'],
      rows.map((row) => [row.key, loaded.raw[row.key] || '–', row.origin, row.meaning]),
    );
    const { file, fileExists } = loaded;
    return `${text}\n\n${fileExists ? `file: ${file}` : `no file ${file} (criu-cuda config init writes one)`}`;
  });
}

export function defineConfig(config: Command, io: Io): void {
  const shown = config
    .command('show')
    .description('show every setting, its value and where it comes from')
    .action(() => {
      showConfig(io);
    });
  addExamples(shown, 'criu-cuda config show', 'criu-cuda config show --json');
  const written = config
    .command('init')
    .description('write a settings file that explains every setting')
    .option('--force', 'replace an existing file');
  addOutput(written, {
    description: 'the file to write',
    old: '--file',
    standard: configFile(),
  }).action(async ({ force = false, output }: { force?: boolean; output: string }) => {
    await writeSettingsFile(output, { force });
    io.result({ file: output }, () => `written: ${output}`);
  });
  addExamples(written, 'criu-cuda config init', 'criu-cuda config init --output ./cuda.conf');
}
