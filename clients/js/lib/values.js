// Values and numbers as the addon takes and gives them.
'use strict'

function decode(found) {
  return typeof found === 'string' ? JSON.parse(found) : found
}

function encode(value) {
  if (value instanceof Uint8Array) {
    return value
  }
  // JSON would make {} of it, or an object with a number for each name.
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer ||
      value instanceof SharedArrayBuffer) {
    throw new TypeError(`bytes are kept of a Buffer or a Uint8Array, not ${value.constructor.name}`)
  }
  const text = JSON.stringify(value)
  if (text === undefined) {
    throw new TypeError(`${typeof value} has no form in JSON`)
  }
  return text
}

// Seconds as whole milliseconds, rounded up; 0 where none were given.
function milliseconds(seconds, what = 'ttl') {
  if (seconds === undefined) {
    return 0
  }
  if (typeof seconds !== 'number' || !(seconds > 0 && seconds <= 1e11)) {
    throw new RangeError(`${what}: a number of seconds above 0 is expected, not ${String(seconds)}`)
  }
  return Math.ceil(seconds * 1000)
}

function wholeNumber(number, what) {
  if (number === undefined) {
    return 0
  }
  if (!Number.isSafeInteger(number) || number < 1) {
    throw new RangeError(`${what}: a whole number from 1 on is expected, not ${String(number)}`)
  }
  return number
}

// ['name', 'bash', …] behind `words`.
function withParameters(words, parameters = null) {
  if (typeof parameters !== 'object' || Array.isArray(parameters)) {
    throw new TypeError('the parameters must be an object: { name: value }')
  }
  for (const name in parameters) {
    const value = parameters[name]
    if (typeof value === 'string') {
      words.push(name, value)
    } else if (value !== undefined) {
      words.push(name, worded(name, value))
    }
  }
  return words
}

function worded(name, value) {
  if (typeof value !== 'number' && typeof value !== 'bigint' && typeof value !== 'boolean') {
    throw new TypeError(`the parameter '${name}' must be a string, a number, a bigint or a boolean`)
  }
  return String(value)
}

module.exports = { decode, encode, milliseconds, wholeNumber, withParameters }
