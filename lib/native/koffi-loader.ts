// SPDX-License-Identifier: MIT
/**
 * koffi itself, and libraries of the system opened through it. It is an optional package that only this file loads.
 * @module
 */
import type * as KoffiModule from 'koffi';
import type { LibraryHandle } from 'koffi';
import { createRequire } from 'node:module';
import { aliases, structs, type StructName } from './abi.ts';
import type { NativeFailure } from './types.ts';

export type Koffi = typeof KoffiModule;
type Type = Parameters<Koffi['sizeof']>[0];
type Call = ReturnType<LibraryHandle['func']>;

/** Functions of one library by their names; each runs off the event loop and returns a number. */
export type Functions<Names extends string> = Record<Names, (...args: unknown[]) => Promise<number>>;

/** @throws when it is not installed, or not for this machine */
export function loadKoffi(): Koffi {
  return createRequire(import.meta.url)('koffi') as Koffi;
}

/** Types of koffi by the names that abi.ts gives them. */
export function typeResolver(koffi: Koffi): (text: string) => Type {
  const known = new Map<string, Type>();
  const make = (text: string): Type => {
    if (text.startsWith('out ')) return koffi.out(resolve(text.slice(4)));
    // koffi would take a char * for a string
    if (text === 'char *') return koffi.pointer('uint8_t');
    if (text.endsWith(' *')) {
      const target = text.slice(0, -2);
      return koffi.pointer(/^CU.*Args$/.test(target) && !(target in structs) ? 'void' : resolve(target));
    }
    const array = /^(.+)\[(\d+)\]$/.exec(text);
    if (array) return koffi.array(resolve(array[1] ?? ''), Number(array[2]), 'Array');
    if (text in structs) {
      const fields = Object.entries<string>(structs[text as StructName]);
      return koffi.struct(Object.fromEntries(fields.map(([name, type]) => [name, resolve(type)])));
    }
    const alias = aliases[text];
    return alias === undefined || alias === text ? text : resolve(alias);
  };
  const resolve = (text: string): Type => {
    const type = known.get(text) ?? make(text);
    known.set(text, type);
    return type;
  };
  return resolve;
}

const RTLD_NOW = 2;

/** Opens libraries of the system and finds functions in them; what is opened stays open. */
export class Loader {
  readonly koffi: Koffi;
  readonly type: (text: string) => Type;
  readonly #dlopen: Call;
  readonly #dlerror: Call;
  readonly #dladdr: Call;
  readonly #opened = new Map<string, LibraryHandle>();

  constructor(koffi: Koffi) {
    this.koffi = koffi;
    this.type = typeResolver(koffi);
    const program = koffi.load(null);
    const info = koffi.struct({
      dli_fname: 'const char *',
      dli_fbase: 'void *',
      dli_sname: 'const char *',
      dli_saddr: 'void *',
    });
    this.#dlopen = program.func('dlopen', 'void *', ['const char *', 'int']);
    this.#dlerror = program.func('dlerror', 'const char *', []);
    this.#dladdr = program.func('dladdr', 'int', ['void *', koffi.out(koffi.pointer(info))]);
  }

  /** @returns the reason in dlerror's words when it cannot be opened */
  open(path: string): LibraryHandle | string {
    const known = this.#opened.get(path);
    if (known) return known;
    if (this.#dlopen(path, RTLD_NOW) === null) return this.#dlerror() as string;
    const library = this.koffi.load(path);
    this.#opened.set(path, library);
    return library;
  }

  /** The file that a function came from, as the loader names it. */
  fileOf(library: LibraryHandle, name: string): string | undefined {
    const info: { dli_fname?: string } = {};
    return this.#dladdr(library.symbol(name), info) === 0 ? undefined : info.dli_fname;
  }

  /** @throws what `fail` makes of the first function that is missing */
  bind<Names extends string>(
    library: LibraryHandle,
    table: Readonly<Record<Names, readonly string[]>>,
    fail: (missing: string) => NativeFailure,
  ): Functions<Names> {
    const bound = Object.entries<readonly string[]>(table).map(([name, parameters]) => {
      const call = this.#function(library, name, parameters);
      if (!call) throw fail(name);
      return [name, call] as const;
    });
    return Object.fromEntries(bound) as Functions<Names>;
  }

  #function(
    library: LibraryHandle,
    name: string,
    parameters: readonly string[],
  ): ((...args: unknown[]) => Promise<number>) | undefined {
    let call: Call;
    try {
      call = library.func(name, 'int', parameters.map(this.type));
    } catch {
      return undefined;
    }
    return (...args) =>
      new Promise((resolve, reject) => {
        call.async(...args, (error: unknown, result: number) => {
          if (error instanceof Error) reject(error);
          else resolve(result);
        });
      });
  }
}
