// rate-limiter-flexible (npm) in memory as the peer of bench_limits: `limiter.mjs KEYS`.
//
// Prints "ready"; for a line `check open|shut COUNT` it asks so often, of a limit that is never reached or of
// one that has been, and prints `CPU_NS ELAPSED_NS ALLOWED`; for `fill open|shut COST` it asks once for each
// key and prints `BYTES_A_KEY`. Keys in a shuffled order, as in limits.c, each awaited, as one uses it.

import { createInterface } from 'node:readline'
import { RateLimiterMemory } from 'rate-limiter-flexible'

const keyCount = Number(process.argv[2])
const limiters = {
  open: new RateLimiterMemory({ keyPrefix: 'open', points: 1000000000, duration: 86400 }),
  shut: new RateLimiterMemory({ keyPrefix: 'shut', points: 10, duration: 86400 })
}

const keys = []
let state = 1
for (let i = 0; i < keyCount; i++) {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0
  const other = Math.floor(state / 4294967296 * (i + 1))
  keys.push(keys[other])
  keys[other] = Buffer.from('user:' + String(i).padStart(15, '0')).toString('latin1')
}

async function ask (limiter, key, cost) {
  try {
    await limiter.consume(key, cost)
    return 1
  } catch {
    return 0
  }
}

async function fill (limiter, cost) {
  globalThis.gc()
  const before = process.memoryUsage()
  for (const key of keys) await ask(limiter, key, cost)
  globalThis.gc()
  const after = process.memoryUsage()
  console.log((after.heapUsed + after.external - before.heapUsed - before.external) / keyCount)
}

let place = 0
async function check (limiter, count) {
  const used = process.cpuUsage()
  const begun = process.hrtime.bigint()
  let allowed = 0
  for (let i = 0; i < count; i++) {
    allowed += await ask(limiter, keys[(place + i) % keyCount], 1)
  }
  const elapsed = Number(process.hrtime.bigint() - begun)
  const cpu = process.cpuUsage(used)
  place = (place + count) % keyCount
  console.log((cpu.user + cpu.system) * 1000 / count, elapsed / count, allowed / count)
}

console.log('ready')
for await (const line of createInterface({ input: process.stdin })) {
  const [verb, which, number] = line.split(' ')
  await (verb === 'fill' ? fill : check)(limiters[which], Number(number))
}
process.exit(0) // its timers would keep it
