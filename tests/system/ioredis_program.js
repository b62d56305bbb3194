// A program written for Redis, unchanged, with ioredis: `ioredis_program.js PORT`. Prints `fine`, or
// fails at the first thing that is not as Redis has it.
'use strict'

const assert = require('assert')
const Redis = require('ioredis')

async function run (redis, other) {
  assert.strictEqual(await redis.set('a', '1', 'EX', 100), 'OK')
  assert.strictEqual(await redis.get('a'), '1')
  assert.strictEqual(await redis.get('nothing'), null)
  assert.strictEqual(await redis.incrby('a', 41), 42)
  assert.ok(await redis.ttl('a') > 90)
  assert.strictEqual(await redis.set('a', 'x', 'NX'), null)

  const bytes = Buffer.from([0, 255, 13, 10, 128])
  await redis.set('bytes', bytes)
  assert.ok((await redis.getBuffer('bytes')).equals(bytes))

  await redis.mset({ b: 2, c: 3 })
  assert.deepStrictEqual(await redis.mget('a', 'b', 'none', 'c'), ['42', '2', null, '3'])
  assert.strictEqual(await redis.rename('b', 'd'), 'OK')
  assert.strictEqual(await redis.copy('d', 'e'), 1)
  assert.strictEqual(await redis.exists('b', 'd', 'e'), 2)
  await assert.rejects(redis.rename('b', 'd'), /no such key/)
  await assert.rejects(redis.incr('bytes'), /not an integer/)
  await assert.rejects(redis.call('nosuch', 'x'), /unknown command/)

  assert.deepStrictEqual(await redis.pipeline().set('p', 1).incr('p').get('p').exec(),
    [[null, 'OK'], [null, 2], [null, '2']])
  assert.deepStrictEqual(await redis.multi().set('m', 1).incr('m').exec(), [[null, 'OK'], [null, 2]])
  await redis.watch('m')
  await other.set('m', 'changed')
  assert.strictEqual(await redis.multi().set('m', 'lost').exec(), null)
  assert.strictEqual(await redis.get('m'), 'changed')

  const names = []
  await redis.mset(Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`scan:${i}`, i])))
  for await (const some of redis.scanStream({ match: 'scan:*', count: 100 })) names.push(...some)
  assert.strictEqual(new Set(names).size, 500)

  assert.match(await redis.info('server'), /redis_version:7\.0/)
  assert.strictEqual(JSON.parse(await redis.call('FB.FETCH', 'fruit', 'name', 'apple')).colour, 'red')
  assert.strictEqual(await redis.flushall(), 'OK')
  assert.strictEqual(await redis.dbsize(), 0)
}

async function main () {
  const options = { port: Number(process.argv[2]), host: '127.0.0.1', enableAutoPipelining: false }
  const clients = [new Redis(options), new Redis(options)]
  try {
    await run(...clients)
  } finally {
    for (const client of clients) client.disconnect()
  }
  console.log('fine')
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
