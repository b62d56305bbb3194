// forebay for Node.js: see README.md, and index.d.ts for what each call takes and gives.
//
// This file is the interface; the work is the addon's (src/addon.c). What is a JSON text in the
// cache arrives from there as a string and is parsed here, everything else arrives as a Buffer.
'use strict'

const { makeCached } = require('./lib/cached')
const { ForebayError, open } = require('./lib/native')
const { decode, encode, milliseconds, wholeNumber, withParameters } = require('./lib/values')

// How the addon numbers operations (src/crew.h) and scopes (forebay/cache.h).
const GET = 0, SET = 1, ADD = 2, DELETE = 3, EXISTS = 4, INCR = 5, EXPIRE = 6, TTL = 7
const SCOPES = ['key', 'pattern', 'tag', 'class', 'namespace']
const ALL = SCOPES.length

function warnProcess(event, text) {
  if (event !== 'daemon_back') {
    process.emitWarning(text, { type: 'ForebayWarning', code: event })
  }
}

// An error comes from no place in the program; this gives it the place of those who wait for it.
function placed(error) {
  if (error instanceof ForebayError) {
    Error.captureStackTrace(error, placed)
  }
  return error
}

// ---- the client

let nativeOf

class Client {
  #native
  #closing

  static {
    nativeOf = (client) => client.#native
  }

  constructor(options = {}) {
    if (typeof options === 'string') {
      options = { url: options }
    }
    const { url = process.env.FOREBAY_URL ?? '', timeout, retry, privateBytes, privateTtl,
      region = true, anyOwner = false, onWarning = warnProcess } = options
    if (typeof url !== 'string') {
      throw new TypeError(`url: a string is expected, not ${typeof url}`)
    }
    if (typeof onWarning !== 'function') {
      throw new TypeError(`onWarning: a function is expected, not ${String(onWarning)}`)
    }
    this.#native = open(url, wholeNumber(timeout, 'timeout'),
      wholeNumber(retry, 'retry'), wholeNumber(privateBytes, 'privateBytes'),
      milliseconds(privateTtl, 'privateTtl'), !region, Boolean(anyOwner))
    // Out of the addon's hands first: what a listener throws is the program's.
    this.#native.listen((event, text) => process.nextTick(onWarning, event, text))
  }

  // An operation on a key.
  async #ask(kind, key, number, value, bytes) {
    try {
      return await this.#native.ask(kind, key, number, value, bytes)
    } catch (error) {
      throw placed(error)
    }
  }

  // ---- memory alone

  peek(key) {
    const found = this.#native.peek(key)
    return typeof found === 'string' ? JSON.parse(found) : found
  }

  peekInto(key, buffer) {
    return this.#native.peekInto(key, buffer)
  }

  peekFetch(className, parameters) {
    return decode(this.#native.peekFetch(...withParameters([className], parameters)))
  }

  // ---- plain keys

  async get(key) {
    const found = this.#native.look(key)
    return decode(found !== undefined ? found : await this.#ask(GET, key, 0))
  }

  async getBuffer(key) {
    return this.#native.lookBytes(key) ?? this.#ask(GET, key, 0, undefined, true)
  }

  async getMany(keys) {
    if (typeof keys === 'string') {
      throw new TypeError('getMany() takes several keys, not one string')
    }
    const wanted = [...keys]
    const values = await Promise.all(wanted.map(async (key) => {
      const found = this.#native.look(key)
      return found !== undefined ? found : this.#ask(GET, key, 0)
    }))
    const found = new Map()
    wanted.forEach((key, i) => values[i] !== undefined && found.set(key, decode(values[i])))
    return found
  }

  async set(key, value, options) {
    return this.#ask(SET, key, milliseconds(options?.ttl), encode(value))
  }

  async setMany(entries, options) {
    const ttl = milliseconds(options?.ttl)
    if (entries === null || typeof entries !== 'object') {
      throw new TypeError('setMany() takes an object, a Map or pairs')
    }
    const pairs = typeof entries[Symbol.iterator] === 'function'
      ? [...entries]
      : Object.entries(entries)
    // Refused as a whole, before anything is set.
    const encoded = pairs.map(([key, value]) => [key, encode(value)])
    const outcomes = await Promise.allSettled(
      encoded.map(([key, value]) => this.#ask(SET, key, ttl, value)))
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed) {
      throw failed.reason
    }
  }

  async add(key, value, options) {
    return this.#ask(ADD, key, milliseconds(options?.ttl), encode(value))
  }

  async delete(key) {
    return this.#ask(DELETE, key, 0)
  }

  async exists(key) {
    return this.#ask(EXISTS, key, 0)
  }

  async incr(key, delta = 1) {
    return this.#ask(INCR, key, delta)
  }

  async expire(key, ttl) {
    if (ttl === undefined) {
      throw new TypeError('expire() takes a key and a number of seconds')
    }
    return this.#ask(EXPIRE, key, milliseconds(ttl))
  }

  async ttl(key) {
    const left = await this.#ask(TTL, key, 0)
    return left === undefined ? undefined : left < 0 ? Infinity : left / 1000
  }

  // ---- declared classes

  async fetch(className, parameters, options) {
    const refresh = options?.refresh === true
    if (!refresh) {
      const found = this.#native.peekFetch(...withParameters([className], parameters))
      if (found !== undefined) {
        return decode(found)
      }
    }
    const words = [className, wholeNumber(options?.timeout, 'timeout'), refresh]
    try {
      return decode(await this.#native.fetch(...withParameters(words, parameters)))
    } catch (error) {
      throw placed(error)
    }
  }

  async invalidate(what) {
    const named = SCOPES.filter((scope) => what?.[scope] !== undefined)
    if (named.length + (what?.all === true) !== 1) {
      throw new TypeError(`invalidate() takes one of ${SCOPES.join(', ')}, or all: true`)
    }
    const soft = what.soft === true
    const [scope, name] = what.all === true ? [ALL, ''] : [SCOPES.indexOf(named[0]), what[named[0]]]
    try {
      await this.#native.invalidate(scope, name, soft)
    } catch (error) {
      throw placed(error)
    }
  }

  // ---- functions

  cached(fn, options) {
    return cached(fn, { ...options, client: this })
  }

  // ---- this client

  figures() {
    return this.#native.figures()
  }

  async close() {
    return this.#closing ??= this.#native.close()
  }
}

const cached = makeCached(nativeOf, () => new Client())

module.exports = { Client, ForebayError, cached }
