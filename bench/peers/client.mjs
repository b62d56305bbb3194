// One process that reads through a client, for bench_clients: `client.mjs LIBRARY SOCKET KEYS`.
//
// LIBRARY: forebay (await get), forebay-peek (peek, which never waits), forebay-into (peekInto, into
// the caller's buffer), ioredis (await getBuffer). It prints `ready`; for each number it reads, it
// reads so many keys and prints `CPU_NS WALL_NS FOUND`. The key strings are made before.

import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

const STRINGS = 100000
const [library, path, keyCount] = process.argv.slice(2)
const require = createRequire(import.meta.url)
const buffer = Buffer.alloc(1024)

async function reader () {
  if (library === 'ioredis') {
    const Redis = require('ioredis')
    const redis = new Redis({ path })
    return { get: (key) => redis.getBuffer(key), waits: true, close: () => redis.disconnect() }
  }
  const { Client } = require('../../clients/js')
  const client = new Client({ url: `unix:${path}` })
  const gets = {
    forebay: (key) => client.get(key),
    'forebay-peek': (key) => client.peek(key),
    'forebay-into': (key) => client.peekInto(key, buffer)
  }
  await client.get('key:none') // the first request connects, and finds the daemon's memory
  return { get: gets[library], waits: library === 'forebay', close: () => client.close() }
}

async function run (get, waits, keys) {
  if (waits) {
    for (const key of keys) await get(key)
  } else {
    for (const key of keys) get(key)
  }
}

const { get, waits, close } = await reader()
let state = 1
const keys = []
for (let i = 0; i < STRINGS; i++) {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0
  const number = Math.floor(state / 4294967296 * Number(keyCount))
  keys.push(Buffer.from('key:' + String(number).padStart(16, '0')).toString('latin1'))
}
await get(keys[0])
console.log('ready')
let place = 0
for await (const line of createInterface({ input: process.stdin })) {
  const count = Number(line)
  const part = []
  for (let i = 0; i < count; i++) part.push(keys[(place + i) % STRINGS])
  place = (place + count) % STRINGS
  const warm = part.slice(0, 1000)
  await run(get, waits, warm)
  const used = process.cpuUsage()
  const begun = process.hrtime.bigint()
  await run(get, waits, part)
  const elapsed = Number(process.hrtime.bigint() - begun)
  const cpu = process.cpuUsage(used)
  let found = 0
  for (const key of warm) {
    const value = await get(key)
    found += value !== undefined && value !== null && value !== -1
  }
  console.log((cpu.user + cpu.system) * 1000 / count, elapsed / count, found / warm.length)
}
await close()
