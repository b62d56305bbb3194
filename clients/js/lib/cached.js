// cached(): a function behind the cache.
//
// A hit is one look into memory. On a miss the daemon is asked, and then the function, by one
// *flight* a key and process: whoever asks while it is under way waits for the same outcome. A
// flight that invalidate() or refresh() overtook is out of `flights`: it answers those who wait for
// it, and what it brings is not stored. What is stored is not waited for: the addon keeps the order
// of operations on a key, so an invalidation that follows finds it.
//
// Of an invalidation by another process a flight does not know.
'use strict'

const { createHash } = require('node:crypto')
const path = require('node:path')

const { encode, milliseconds } = require('./values')

// How the addon numbers operations (src/crew.h).
const GET = 0, SET = 1, DELETE = 3

// Keys with their arguments in the clear are at most so long; longer ones end in a digest.
const CLEAR_MAX = 200

const OWN_FILES = [__filename, path.join(__dirname, '..', 'index.js')]

// ---- results

// JSON text, or bytes behind a zero, which no JSON begins with: `Buffer.from('[1]')` stays one.
function pack(result) {
  return result instanceof Uint8Array ? Buffer.concat([Buffer.alloc(1), result]) : encode(result)
}

function unpack(packed) {
  if (typeof packed === 'string') {
    return JSON.parse(packed)
  }
  return packed?.[0] === 0 ? packed.subarray(1) : packed
}

// ---- keys

function digest(text, length) {
  return createHash('sha256').update(text).digest('hex').slice(0, length)
}

// An argument as text that no other argument has; a TypeError for what cannot be told apart.
function argumentText(value) {
  switch (typeof value) {
    case 'string': return JSON.stringify(value)
    case 'bigint': return `${value}n`
    case 'number':
    case 'boolean':
    case 'undefined': return String(value)
  }
  if (value === null) {
    return 'null'
  }
  if (Array.isArray(value)) {
    return `[${value.map(argumentText).join(',')}]`
  }
  if (value instanceof Date) {
    return `date(${value.getTime()})`
  }
  if (value instanceof Uint8Array) {
    return `bytes(${Buffer.from(value).toString('base64')})`
  }
  const prototype = typeof value === 'object' ? Object.getPrototypeOf(value) : undefined
  if (prototype === Object.prototype || prototype === null) {
    return `{${Object.keys(value).sort()
      .map((name) => `${JSON.stringify(name)}:${argumentText(value[name])}`).join(',')}}`
  }
  const kind = value.constructor?.name ?? typeof value
  throw new TypeError(`cached(): no key is made of an argument that is a ${kind}; ` +
    'say how with `key`')
}

// The same in every process of a program, and another for another function: its name, where it was
// handed to cached(), and its text.
function prefixOf(fn) {
  const place = new Error().stack.split('\n').slice(1)
    .find((line) => !OWN_FILES.some((file) => line.includes(file))) ?? ''
  return `${fn.name || 'function'}#${digest(`${place}\n${fn}`, 12)}`
}

function keyMaker(fn, key) {
  if (typeof key === 'function') {
    return key
  }
  if (key !== undefined && (typeof key !== 'string' || key === '')) {
    throw new TypeError('cached(): `key` is a function of the arguments, or a prefix')
  }
  const prefix = key ?? prefixOf(fn)
  return (...args) => {
    const text = args.map(argumentText).join(',')
    return `${prefix}:${text.length <= CLEAR_MAX ? text : digest(text, 32)}`
  }
}

// ---- functions

class Results {
  flights = new Map()
  told = false

  constructor(fn, ttl, keyOf, cache) {
    Object.assign(this, { fn, ttl, keyOf, cache })
  }

  // Values as the cache has them, so that all callers get what later hits will give.
  async load(flight, name, self, args, fresh) {
    try {
      const found = fresh ? undefined : await this.cache().ask(GET, name, 0).catch(() => undefined)
      if (found !== undefined) {
        return found
      }
      const result = await this.fn.apply(self, args)
      if (result === undefined) {
        return undefined
      }
      const packed = pack(result)
      if (this.flights.get(name) === flight) {
        this.cache().ask(SET, name, this.ttl, packed).catch((error) => this.tell(error))
      }
      return packed
    } finally {
      if (this.flights.get(name) === flight) {
        this.flights.delete(name)
      }
    }
  }

  start(name, self, args, fresh) {
    const flight = {}
    this.flights.set(name, flight)
    flight.outcome = this.load(flight, name, self, args, fresh)
    return flight
  }

  // What is not kept costs its callers time, but they have it.
  tell(error) {
    if (!this.told) {
      this.told = true
      const name = this.fn.name || 'a function'
      this.cache().warn('not_kept', `what ${name}() returned was not kept: ${error.message}`)
    }
  }

  async call(self, args) {
    const name = this.keyOf(...args)
    const found = this.cache().look(name)
    if (found !== undefined) {
      return unpack(found)
    }
    return this.answer(this.flights.get(name) ?? this.start(name, self, args, false))
  }

  // Bytes are copied: whoever changes what was answered changes nobody else's.
  async answer(flight) {
    if (flight.outcome === undefined) {
      throw new Error(`${this.fn.name || 'a function'}() calls itself with the same arguments`)
    }
    const packed = await flight.outcome
    return unpack(packed instanceof Uint8Array ? Buffer.from(packed) : packed)
  }

  async refresh(self, args) {
    return this.answer(this.start(this.keyOf(...args), self, args, true))
  }

  async invalidate(args) {
    const name = this.keyOf(...args)
    this.flights.delete(name)
    await this.cache().ask(DELETE, name, 0)
  }
}

// cached() for the clients whose insides `nativeOf` gives; `makeClient` makes the one that serves
// all functions which name none.
function makeCached(nativeOf, makeClient) {
  let shared

  return function cached(fn, options = {}) {
    if (typeof fn !== 'function') {
      throw new TypeError('cached() takes a function')
    }
    if (/Generator/.test(fn[Symbol.toStringTag])) {
      throw new TypeError('cached(): what a generator yields cannot be kept')
    }
    const results = new Results(fn, milliseconds(options.ttl), keyMaker(fn, options.key),
      () => nativeOf(options.client ?? (shared ??= makeClient())))
    const call = function (...args) {
      return results.call(this, args)
    }
    call.refresh = function (...args) {
      return results.refresh(this, args)
    }
    call.invalidate = (...args) => results.invalidate(args)
    call.key = (...args) => results.keyOf(...args)
    Object.defineProperty(call, 'name', { value: fn.name, configurable: true })
    Object.defineProperty(call, 'length', { value: fn.length, configurable: true })
    return call
  }
}

module.exports = { makeCached }
