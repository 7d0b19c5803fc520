// SPDX-License-Identifier: MIT
/**
 * Checks JSON that programs of this project write: the little of a validation library that every checkpoint and restore
 * needs, loaded in no time.
 * @module
 */

/** Returns a value of this type, or throws {@link ShapeError}. `where` names the value in the error. */
export type Shape<Value> = (value: unknown, where?: string) => Value;

/** The type that a shape checks. */
export type Shaped<Of> = Of extends Shape<infer Value> ? Value : never;

/** A value is not of the expected shape. */
export class ShapeError extends Error {}

function refuse(value: unknown, where: string, wanted: string): never {
  const is = value === undefined ? 'missing' : JSON.stringify(value);
  throw new ShapeError(`${where} is ${is}, not ${wanted}`);
}

/** Any text. */
export const text: Shape<string> = (value, where = 'the value') =>
  typeof value === 'string' ? value : refuse(value, where, 'a text');

/** True or false. */
export const truth: Shape<boolean> = (value, where = 'the value') =>
  typeof value === 'boolean' ? value : refuse(value, where, 'true or false');

/** A finite number, of at least `least`. */
export const number =
  (least = Number.NEGATIVE_INFINITY): Shape<number> =>
  (value, where = 'the value') =>
    typeof value === 'number' && Number.isFinite(value) && value >= least
      ? value
      : refuse(value, where, `a number of at least ${least}`);

/** A whole number below 2^53, of at least `least`. */
export const whole =
  (least = Number.MIN_SAFE_INTEGER): Shape<number> =>
  (value, where = 'the value') =>
    Number.isSafeInteger(value) && (value as number) >= least
      ? (value as number)
      : refuse(value, where, `a whole number of at least ${least}`);

/** One of these texts. */
export const oneOf =
  <const Word extends string>(...words: readonly Word[]): Shape<Word> =>
  (value, where = 'the value') =>
    words.find((word) => word === value) ?? refuse(value, where, words.join(' or '));

/** Such a value, or none. */
export const maybe =
  <Value>(shape: Shape<Value>): Shape<Value | undefined> =>
  (value, where) =>
    value === undefined ? undefined : shape(value, where);

/** An array of such values. */
export const list =
  <Value>(shape: Shape<Value>): Shape<Value[]> =>
  (value, where = 'the value') =>
    Array.isArray(value)
      ? value.map((one: unknown, index) => shape(one, `${where}[${index}]`))
      : refuse(value, where, 'a list');

type Fields = Readonly<Record<string, Shape<unknown>>>;

/** An object with these fields; others are left out. */
export const fields =
  <Given extends Fields>(given: Given): Shape<{ [Name in keyof Given]: Shaped<Given[Name]> }> =>
  (value, where = 'the value') => {
    if (typeof value !== 'object' || value === null) return refuse(value, where, 'an object');
    const checked = Object.entries(given).map(([name, shape]) => [
      name,
      shape((value as Record<string, unknown>)[name], `${where}.${name}`),
    ]);
    return Object.fromEntries(checked) as { [Name in keyof Given]: Shaped<Given[Name]> };
  };
