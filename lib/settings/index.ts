// SPDX-License-Identifier: MIT
export { configTemplate, writeConfigFile } from './config-file.ts';
export {
  loadSettings,
  SettingError,
  type LoadedSettings,
  type SettingOrigin,
  type Settings,
} from './settings.ts';
export { acceptedText, definitionOf, settingKeys, type SettingDefinition, type SettingKey } from './table.ts';
