// SPDX-License-Identifier: MIT
/**
 * Settings: the values that users choose, from the environment and the settings file. Nothing on the machine is
 * changed here; `setup/` does that.
 * @module
 */
export { SettingsFileError } from './error.ts';
export { settingsTemplate, writeSettingsFile } from './config-file.ts';
export {
  loadSettings,
  SettingError,
  type LoadedSettings,
  type SettingOrigin,
  type Settings,
} from './settings.ts';
export { transferEnv, transferVariables, type TransferSettings } from './transfer.ts';
export { acceptedText, definitionOf, settingKeys, type SettingDefinition, type SettingKey } from './table.ts';
