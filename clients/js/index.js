// forebay for Node.js: see README.md, and index.d.ts for what each call takes and gives.
//
// This file is the interface; the work is the addon's (src/addon.c). What is a JSON text in the
// cache arrives from there as a string and is parsed here, everything else arrives as a Buffer.
'use strict'

// How the addon numbers operations (src/crew.h) and scopes (forebay/cache.h).
const GET = 0, SET = 1, ADD = 2, DELETE = 3, EXISTS = 4, INCR = 5, EXPIRE = 6, TTL = 7
const SCOPES = ['key', 'pattern', 'tag', 'class', 'namespace']
const ALL = SCOPES.length

class ForebayError extends Error {
  constructor(code, message) {
    super(message)
    this.code = code
  }

  get name() {
    return 'ForebayError'
  }
}

const native = load()
native.setErrorClass(ForebayError)

function load() {
  const file = './build/Release/forebay.node'
  try {
    return require(file)
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') {
      throw error
    }
    throw new Error(`forebay's addon is not built: \`node ${__dirname}/build.js\` does it, and says ` +
      'what is missing (npm did not run the install script, or it failed)', { cause: error })
  }
}

// ---- values

function decode(found) {
  return typeof found === 'string' ? JSON.parse(found) : found
}

function encode(value) {
  if (value instanceof Uint8Array) {
    return value
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
function withParameters(words, parameters) {
  for (const name in parameters) {
    const value = parameters[name]
    if (value !== undefined) {
      words.push(name, typeof value === 'string' ? value : String(value))
    }
  }
  return words
}

function warnProcess(event, text) {
  if (event !== 'daemon_back') {
    process.emitWarning(text, { type: 'ForebayWarning', code: event })
  }
}

// An error comes from no place in the program; this gives it those who wait for it.
async function traced(promise) {
  try {
    return await promise
  } catch (error) {
    if (error instanceof ForebayError) {
      Error.captureStackTrace(error, traced)
    }
    throw error
  }
}

// ---- the client

let nativeOf

class Client {
  #native

  static {
    nativeOf = (client) => client.#native
  }

  constructor(options = {}) {
    if (typeof options === 'string') {
      options = { url: options }
    }
    const { url = process.env.FOREBAY_URL ?? '', timeout, retry, privateBytes, privateTtl,
      region = true, anyOwner = false, onWarning = warnProcess } = options
    this.#native = native.open(String(url), wholeNumber(timeout, 'timeout'),
      wholeNumber(retry, 'retry'), wholeNumber(privateBytes, 'privateBytes'),
      milliseconds(privateTtl, 'privateTtl'), !region, Boolean(anyOwner))
    // Out of the addon's hands first: what a listener throws is the program's.
    this.#native.warn = (event, text) => process.nextTick(onWarning, event, text)
  }

  // An operation on a key.
  #ask(kind, key, number, value, bytes) {
    return traced(this.#native.submit(kind, key, number, value, bytes))
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
    const found = new Map()
    const wanted = []
    for (const key of keys) {
      const value = this.#native.look(key)
      wanted.push([key, value !== undefined ? value : this.#ask(GET, key, 0)])
    }
    // All are waited for, also when one fails.
    await Promise.allSettled(wanted.map(([, value]) => value))
    for (const [key, value] of wanted) {
      const text = await value
      if (text !== undefined) {
        found.set(key, decode(text))
      }
    }
    return found
  }

  async set(key, value, options) {
    return this.#ask(SET, key, milliseconds(options?.ttl), encode(value))
  }

  async setMany(entries, options) {
    const ttl = milliseconds(options?.ttl)
    const pairs = typeof entries[Symbol.iterator] === 'function' ? [...entries] : Object.entries(entries)
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
    return decode(await traced(this.#native.fetch(...withParameters(
      [className, wholeNumber(options?.timeout, 'timeout'), refresh], parameters))))
  }

  async invalidate(what) {
    const named = SCOPES.filter((scope) => what?.[scope] !== undefined)
    if (named.length + (what?.all === true) !== 1) {
      throw new TypeError(`invalidate() takes one of ${SCOPES.join(', ')}, or all: true`)
    }
    const soft = what.soft === true
    return traced(what.all === true
      ? this.#native.invalidate(ALL, '', soft)
      : this.#native.invalidate(SCOPES.indexOf(named[0]), what[named[0]], soft))
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
    return this.#native.close()
  }
}

// ---- cached functions

let sharedClient

// The Client of functions that name none: one for the process, made when it is first needed.
function defaultClient() {
  sharedClient ??= new Client()
  return sharedClient
}

function keyMaker(fn, key) {
  if (typeof key === 'function') {
    return key
  }
  const prefix = key ?? fn.name
  if (typeof prefix !== 'string' || prefix === '') {
    throw new TypeError('cached(): a function without a name needs `key`: a function of its ' +
      'arguments, or a prefix')
  }
  return (...args) => `${prefix}:${JSON.stringify(args)}`
}

// One flight a key and process: whoever asks while it is under way waits for the same outcome. A
// flight that invalidate() or refresh() overtook is out of `flights`: it answers those who wait for
// it, and what it brings is not stored. What it stores is not waited for: the addon keeps the order
// of operations on a key.
function cached(fn, options = {}) {
  if (typeof fn !== 'function') {
    throw new TypeError('cached() takes a function')
  }
  const ttl = milliseconds(options.ttl)
  const keyOf = keyMaker(fn, options.key)
  const flights = new Map()
  let told = false
  const cache = () => nativeOf(options.client ?? defaultClient())

  // What is not kept costs its callers time, but they have it.
  const notKept = (error) => {
    if (!told) {
      told = true
      cache().warn('not_kept', `what ${fn.name || 'a function'}() returned was not kept: ${error.message}`)
    }
  }

  // Values as the cache has them, so that all callers get what later hits will give.
  async function load(flight, name, self, args, fresh) {
    try {
      const found = fresh ? undefined : await cache().submit(GET, name, 0).catch(() => undefined)
      if (found !== undefined) {
        return found
      }
      const value = await fn.apply(self, args)
      if (value === undefined) {
        return undefined
      }
      const encoded = encode(value)
      if (flights.get(name) === flight) {
        cache().submit(SET, name, ttl, encoded).catch(notKept)
      }
      return encoded
    } finally {
      if (flights.get(name) === flight) {
        flights.delete(name)
      }
    }
  }

  function start(name, self, args, fresh) {
    const flight = {}
    flights.set(name, flight)
    flight.outcome = load(flight, name, self, args, fresh)
    return flight
  }

  async function call(...args) {
    const name = keyOf(...args)
    const found = cache().look(name)
    if (found !== undefined) {
      return decode(found)
    }
    return decode(await (flights.get(name) ?? start(name, this, args, false)).outcome)
  }

  call.refresh = async function (...args) {
    return decode(await start(keyOf(...args), this, args, true).outcome)
  }
  call.invalidate = async (...args) => {
    const name = keyOf(...args)
    flights.delete(name)
    await cache().submit(DELETE, name, 0)
  }
  call.key = (...args) => keyOf(...args)
  Object.defineProperty(call, 'name', { value: fn.name, configurable: true })
  Object.defineProperty(call, 'length', { value: fn.length, configurable: true })
  return call
}

module.exports = { Client, ForebayError, cached }
