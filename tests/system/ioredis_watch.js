// Counters by check and set with ioredis, each client at another node: `ioredis_watch.js PORT ...`.
// Prints `fine`, or fails.
'use strict'

const assert = require('assert')
const Redis = require('ioredis')

const TURNS = 20

async function count (redis) {
  for (let done = 0; done < TURNS;) {
    await redis.watch('count', 'log')
    const number = Number(await redis.get('count') || 0)
    const said = await redis.multi().set('count', number + 1).append('log', 'x').exec()
    if (said === null) continue
    assert.strictEqual(said[0][1], 'OK')
    assert.strictEqual(said[1][1], number + 1)
    done++
  }
}

async function main () {
  const clients = process.argv.slice(2).map(port => new Redis({ port: Number(port), host: '127.0.0.1' }))
  await Promise.all(clients.map(count))
  await clients[0].watch('count')
  assert.deepStrictEqual(await clients[0].multi().get('count').strlen('log').exec(),
    [[null, String(clients.length * TURNS)], [null, clients.length * TURNS]])
  clients.forEach(one => one.disconnect())
  console.log('fine')
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
