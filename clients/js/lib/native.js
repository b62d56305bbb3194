// The addon (src/addon.c) as the rest of the package sees it.
'use strict'

const path = require('node:path')

class ForebayError extends Error {
  constructor(code, message) {
    super(message)
    this.code = code
  }

  get name() {
    return 'ForebayError'
  }
}

function load() {
  const file = '../build/Release/forebay.node'
  try {
    return require(file)
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') {
      throw error
    }
    const build = path.join(__dirname, '..', 'build.js')
    throw new Error(`forebay's addon is not built: \`node ${build}\` does it, and says what is ` +
      'missing (npm did not run the install script, or it failed)', { cause: error })
  }
}

const addon = load()
addon.setErrorClass(ForebayError)
const scratch = Buffer.from(addon.scratch)

// What a look into memory gives: a string of JSON text, a Buffer, undefined; or how many bytes are
// in the scratch, until the next look.
function take(found) {
  if (typeof found !== 'number') {
    return found
  }
  const bytes = Buffer.allocUnsafe(found)
  scratch.copy(bytes, 0, 0, found)
  return bytes
}

// Submits an operation on a key. What a program asks for in one go is sent off together, at the end
// of it.
function asker({ submit, flush }) {
  let due = false
  const send = () => {
    due = false
    flush()
  }
  return (kind, key, number, value, bytes) => {
    const promise = submit(kind, key, number, value, bytes)
    if (!due) {
      due = true
      queueMicrotask(send)
    }
    return promise
  }
}

// One client of the addon. The addon tells its own `warn` of events: `listen` sets it.
function open(...options) {
  const handle = addon.open(...options)
  const { peek, look, lookBytes, peekInto, peekFetch, fetch, invalidate, figures, close } = handle
  return {
    peek: (key) => take(peek(key)),
    look: (key) => take(look(key)),
    lookBytes: (key) => take(lookBytes(key)),
    peekFetch: (...words) => take(peekFetch(...words)),
    ask: asker(handle),
    peekInto,
    fetch,
    invalidate,
    figures,
    close,
    listen: (listener) => { handle.warn = listener },
    warn: (event, text) => handle.warn(event, text)
  }
}

module.exports = { ForebayError, open }
