// SPDX-License-Identifier: MIT
/**
 * Reads the settings: the environment overrides the file, and the file overrides the defaults. Every value is checked
 * and has its origin. The C code reads the same file by the same rules.
 * @module
 */
import { readFileSync } from 'node:fs';
import { isErrno, reasonOf } from '../errno.ts';
import { CodedError } from '../errors.ts';
import { configFile, type Environment } from '../paths.ts';
import {
  acceptedText,
  definitionOf,
  isSettingKey,
  settingKeys,
  type SettingDefinition,
  type SettingKey,
  type settingDefinitions,
} from './table.ts';

interface ValueTypes {
  number: number;
  choice: string;
  flags: readonly string[];
  text: string;
}

/** Checked values by key. */
export type Settings = {
  [K in SettingKey]: (typeof settingDefinitions)[K] extends { type: 'choice'; words: readonly (infer W)[] }
    ? W
    : ValueTypes[(typeof settingDefinitions)[K]['type']];
};

/** Where a value comes from. */
export interface SettingOrigin {
  /** `line` counts from 1. */
  source: 'default' | 'file' | 'environment';
  /** Line of the file. */
  line?: number | undefined;
}

/** The settings in effect. */
export interface LoadedSettings {
  /** The path of the settings file. */
  file: string;
  /** Whether there is such a file. */
  fileExists: boolean;
  /** The values, checked. */
  settings: Settings;
  /** The text that each value was read from. */
  raw: Record<SettingKey, string>;
  /** Where each value comes from. */
  origins: Record<SettingKey, SettingOrigin>;
}

/** A setting is invalid; the message names key, value and what is accepted. */
export class SettingError extends CodedError<'ERR_SETTING'> {
  /** The setting, when it is about one. */
  readonly key: string | undefined;

  constructor(message: string, key?: string) {
    super('ERR_SETTING', message, { hint: 'see criu-cuda config show and docs/environment.md' });
    this.key = key;
  }
}

type Value = ValueTypes[keyof ValueTypes];

/** @returns `undefined` when the text is not a value of the setting */
function valueOf(definition: SettingDefinition, text: string): Value | undefined {
  switch (definition.type) {
    case 'number': {
      const value = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
      return value >= definition.min && value <= definition.max ? value : undefined;
    }
    case 'choice':
      return definition.words.includes(text) ? text : undefined;
    case 'flags': {
      const words = text === 'off' ? [] : text.split(',');
      return words.every((word) => definition.words.includes(word)) ? words : undefined;
    }
    case 'text': {
      const fits = Buffer.byteLength(text) <= definition.maxBytes;
      const isPath = text.startsWith('/') || text === definition.default;
      return fits && (!definition.absolutePath || isPath) ? text : undefined;
    }
  }
}

/** @throws {@link SettingError} */
export function parseSetting(key: SettingKey, text: string, origin: string): Value {
  const definition = definitionOf(key);
  const value = valueOf(definition, text);
  if (value !== undefined) return value;
  throw new SettingError(
    `${origin}: ${key} is "${text.slice(0, 80)}"; accepted: ${acceptedText(definition)}`,
    key,
  );
}

interface FileEntry {
  key: SettingKey;
  text: string;
  line: number;
}

/** Parses lines `key = value`; empty lines and those that begin with `#` are ignored. @throws {@link SettingError} */
export function parseConfigFile(text: string, path: string): FileEntry[] {
  const entries: FileEntry[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const origin = `${path}:${index + 1}`;
    const equals = line.indexOf('=');
    if (equals === -1) {
      throw new SettingError(`${origin}: "${line.slice(0, 80)}" is not of the form key = value`);
    }
    const key = line.slice(0, equals).trim();
    if (!isSettingKey(key)) {
      throw new SettingError(
        `${origin}: unknown setting "${key.slice(0, 80)}"; accepted: the keys of \`criu-cuda config show\``,
        key,
      );
    }
    entries.push({ key, text: line.slice(equals + 1).trim(), line: index + 1 });
  }
  return entries;
}

function readConfigFile(env: Environment): { path: string; text: string | undefined } {
  const path = configFile(env);
  const isNamed = env.CRIU_CUDA_CONFIG !== undefined && env.CRIU_CUDA_CONFIG !== '';
  try {
    return { path, text: readFileSync(path, 'utf8') };
  } catch (error) {
    if (isErrno(error, 'ENOENT') && !isNamed) return { path, text: undefined };
    throw new SettingError(`${path}: cannot be read: ${reasonOf(error)}`);
  }
}

/** Reads and checks everything. @throws {@link SettingError} for the first invalid value */
export function loadSettings(env: Environment = process.env): LoadedSettings {
  const { path, text } = readConfigFile(env);
  const raw: Partial<Record<SettingKey, string>> = {};
  const origins: Partial<Record<SettingKey, SettingOrigin>> = {};
  const values: Partial<Record<SettingKey, Value>> = {};
  const assign = (key: SettingKey, value: string, where: string, origin: SettingOrigin): void => {
    values[key] = parseSetting(key, value, where);
    raw[key] = value;
    origins[key] = origin;
  };
  for (const key of settingKeys) assign(key, definitionOf(key).default, 'default', { source: 'default' });
  for (const entry of text === undefined ? [] : parseConfigFile(text, path)) {
    assign(entry.key, entry.text, `${path}:${entry.line}`, { source: 'file', line: entry.line });
  }
  for (const key of settingKeys) {
    const value = env[key];
    if (value !== undefined && value !== '') assign(key, value, 'environment', { source: 'environment' });
  }
  return {
    file: path,
    fileExists: text !== undefined,
    // every key of the table was assigned above
    settings: values as Settings,
    raw: raw as Record<SettingKey, string>,
    origins: origins as Record<SettingKey, SettingOrigin>,
  };
}
