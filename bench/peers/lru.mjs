// lru-cache (npm) as one of the peers of bench_peers: README.md has the protocol. One thread: a Map
// belongs to one isolate.

import { createInterface } from 'node:readline'
import { LRUCache } from 'lru-cache'

const OPS = 500000
const VALUE_LEN = 100
const entries = Number(process.argv[2] ?? 10000)

let state = 0x9e3779b9
function random () { // xorshift32, in (0, 1]
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return ((state >>> 0) + 1) / 4294967296
}

function zipf (count, exponent) { // rejection from the integral, as in src/cli/bench_keys.c
  const integral = (x) => (x ** (1 - exponent) - 1) / (1 - exponent)
  const inverse = (y) => (1 + y * (1 - exponent)) ** (1 / (1 - exponent))
  const low = integral(1.5) - 1
  const high = integral(count + 0.5)
  const shortcut = 2 - inverse(integral(2.5) - 2 ** -exponent)
  return () => {
    for (;;) {
      const y = high + random() * (low - high)
      const x = inverse(y)
      const rank = Math.min(Math.max(Math.floor(x + 0.5), 1), count)
      if (rank - x <= shortcut || y >= integral(rank + 0.5) - rank ** -exponent) return rank
    }
  }
}

const room = Buffer.allocUnsafeSlow(64)
function makeKey (id) { // a flat string of its own each time
  let mixed = Math.imul(id + 0x7f4a7c15, 0x85ebca6b)
  mixed = (mixed ^ (mixed >>> 13)) >>> 0
  const len = 16 + mixed % 17
  room.write(id.toString(16).padStart(8, '0'), 0, 'latin1')
  room[8] = 58
  for (let i = 9; i < len; i++) room[i] = 97 + ((mixed >>> (i & 31)) & 15)
  return room.latin1Slice(0, len)
}

let mask = 1
while (mask < entries) mask *= 2
function scatter (rank) {
  let id = rank
  do id = (Math.imul(id, 0x9e3779b1) + 0x7f4a7c15) & (mask - 1)
  while (id >= entries)
  return id
}

function makeValue () {
  return Buffer.alloc(VALUE_LEN, 118) // of this length: bytes of its own
}

function taken () {
  globalThis.gc()
  const is = process.memoryUsage()
  return is.heapUsed + is.external
}

function fill (max) {
  const cache = new LRUCache({ max })
  for (let id = 0; id < entries; id++) cache.set(makeKey(id), makeValue())
  return cache
}

const draw = zipf(entries, 0.99)
const copy = Buffer.alloc(VALUE_LEN)
const keys = new Array(OPS)

function drawKeys () {
  for (let i = 0; i < OPS; i++) keys[i] = makeKey(scatter(draw() - 1))
  globalThis.gc()
}

function hit (cache) {
  let hits = 0
  for (let i = 0; i < OPS; i++) {
    const value = cache.get(keys[i])
    if (value !== undefined) {
      copy.set(value)
      hits++
    }
  }
  return hits
}

function mix (cache) {
  let hits = 0
  for (let i = 0; i < OPS; i++) {
    const value = cache.get(keys[i])
    if (value !== undefined) {
      copy.set(value)
      hits++
    } else {
      cache.set(keys[i], makeValue())
    }
  }
  return hits
}

const before = taken()
const tight = fill(Math.ceil(entries / 2))
console.log('ready', ((taken() - before) / tight.size).toFixed(1))
const roomy = fill(entries)

for await (const line of createInterface({ input: process.stdin })) {
  const [word, threads] = line.split(' ')
  if (threads !== '1') {
    console.log('- - -')
    continue
  }
  const [work, cache] = word === 'mix' ? [mix, tight] : [hit, roomy]
  drawKeys()
  work(cache)
  drawKeys()
  const cpu = process.cpuUsage()
  const begun = process.hrtime.bigint()
  const hits = work(cache)
  const elapsed = Number(process.hrtime.bigint() - begun)
  const used = process.cpuUsage(cpu)
  console.log(((used.user + used.system) * 1000 / OPS).toFixed(2), (elapsed / OPS).toFixed(2),
    (hits / OPS).toFixed(4))
}
