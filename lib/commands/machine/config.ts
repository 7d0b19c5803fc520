// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
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
  config
    .command('show')
    .description('show every setting, its value and where it comes from')
    .action(() => {
      showConfig(io);
    });
  config
    .command('init')
    .description('write a settings file that explains every setting')
    .option('--force', 'replace an existing file')
    .option('--file <path>', 'path of the file to write', configFile())
    .action(async (options: { force?: boolean | undefined; file: string }) => {
      await writeSettingsFile(options.file, { force: options.force ?? false });
      io.result({ file: options.file }, () => `written: ${options.file}`);
    });
}
