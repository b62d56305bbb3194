// Reading, writing, fetching, with a daemon there.
'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')

const { Client, ForebayError } = require('..')
const { Daemon, until } = require('./daemon')

async function open(t, options) {
  let cache
  t.after(() => cache?.close())
  const daemon = await Daemon.start(t)
  cache = new Client({ url: daemon.url, timeout: 60_000, ...options })
  return cache
}

// What holds while the region is read: by a daemon that gets no turn for a second it is not, and then it is
// tried again.
async function whileTheRegionIsThere(cache, key, check) {
  for (let turn = 0; ; turn++) {
    await until(async () => {
      await cache.get(key)
      return cache.peek(key) !== undefined
    }, 'the region is there')
    try {
      return await check()
    } catch (error) {
      if (turn === 4) {
        throw error
      }
    }
  }
}

test('values come back as they were given: JSON as values, bytes as bytes', async (t) => {
  const cache = await open(t)
  const values = [
    { user: 'ada', rights: ['read', 'write'], nested: { a: [1, 2.5, -3e100] } },
    'text', 'čeština 水 🌊', '', 0, 12.5, true, false, null, [], {}, ['"', '\\', '\n'],
    Buffer.from([0xff, 0, 1, 2]), Buffer.alloc(0), 'x'.repeat(300_000)
  ]
  for (const value of values) {
    await cache.set('key', value)
    assert.deepEqual(await cache.get('key'), value)
  }
  await cache.set('key', new Uint8Array([255, 254]))
  assert.deepEqual(await cache.get('key'), Buffer.from([255, 254]))
  await cache.set('key', { a: 1 })
  assert.equal(String(await cache.getBuffer('key')), '{"a":1}')
  assert.equal(await cache.get('nobody'), undefined)
  assert.equal(await cache.getBuffer('nobody'), undefined)
})

test('a hit is read from the region: the daemon is not asked', async (t) => {
  const cache = await open(t)
  assert.equal(cache.peek('user:1'), undefined)
  await cache.set('user:1', { name: 'ada' })
  await cache.get('user:1')
  await whileTheRegionIsThere(cache, 'user:1', async () => {
    const before = cache.figures()
    assert.equal(before.regionThere, true)
    assert.equal(before.daemonThere, true)
    for (let i = 0; i < 100; i++) {
      assert.deepEqual(cache.peek('user:1'), { name: 'ada' })
      assert.deepEqual(await cache.get('user:1'), { name: 'ada' })
    }
    const buffer = Buffer.alloc(64)
    assert.equal(cache.peekInto('user:1', buffer), 14)
    assert.equal(buffer.toString('utf8', 0, 14), '{"name":"ada"}')
    assert.equal(cache.peekInto('nobody', buffer), -1)
    const after = cache.figures()
    assert.equal(after.requests, before.requests)
    assert.ok(after.regionHits >= before.regionHits + 201)
  })
})

test('a hit settles before anything else comes round', async (t) => {
  const cache = await open(t)
  await cache.set('a', 1)
  await cache.get('a')
  await whileTheRegionIsThere(cache, 'a', async () => {
    const order = []
    const immediate = new Promise((resolve) => setImmediate(() => resolve(order.push('event loop'))))
    await cache.get('a')
    order.push('hit')
    await immediate
    assert.deepEqual(order, ['hit', 'event loop'])
  })
})

test('without a region everything is asked for', async (t) => {
  const cache = await open(t, { region: false })
  await cache.set('a', 1)
  assert.equal(await cache.get('a'), 1)
  assert.equal(cache.peek('a'), undefined)
  assert.equal(cache.figures().regionHits, 0)
})

test('a buffer that is too small is said so, and nothing is lost', async (t) => {
  const cache = await open(t)
  await cache.set('a', Buffer.alloc(1000, 1))
  await cache.get('a')
  await whileTheRegionIsThere(cache, 'a', () => {
    assert.throws(() => cache.peekInto('a', Buffer.alloc(999)), { code: 'ETOOBIG' })
    const exact = new Uint8Array(1000)
    assert.equal(cache.peekInto('a', exact), 1000)
    assert.ok(exact.every((byte) => byte === 1))
  })
})

test('many at once', async (t) => {
  const cache = await open(t)
  await cache.setMany({ a: 1, b: [2] }, { ttl: 60 })
  await cache.setMany(new Map([['c', 'three']]))
  await cache.setMany([[Buffer.from('d'), Buffer.from([200])]])
  assert.deepEqual(await cache.getMany(['a', 'b', 'c', 'd', 'e']),
    new Map([['a', 1], ['b', [2]], ['c', 'three'], ['d', Buffer.from([200])]]))
  assert.deepEqual(await cache.getMany([]), new Map())
  await assert.rejects(cache.setMany({ f: 1, g: undefined }), TypeError)
  for (const wrong of [5, 'ab', null, undefined]) {
    await assert.rejects(cache.setMany(wrong), TypeError)
    await assert.rejects(cache.getMany(wrong), TypeError)
  }
  assert.equal(await cache.exists('f'), false)
})

test('adding, deleting, counting, expiring', async (t) => {
  const cache = await open(t)
  assert.equal(await cache.add('lock', 1, { ttl: 60 }), true)
  assert.equal(await cache.add('lock', 2), false)
  assert.equal(await cache.get('lock'), 1)
  const left = await cache.ttl('lock')
  assert.ok(left > 50 && left <= 60, String(left))
  assert.equal(await cache.expire('lock', 600), true)
  assert.ok(await cache.ttl('lock') > 590)
  assert.equal(await cache.expire('nobody', 600), false)
  assert.equal(await cache.ttl('nobody'), undefined)
  assert.equal(await cache.exists('lock'), true)
  assert.equal(await cache.delete('lock'), true)
  assert.equal(await cache.delete('lock'), false)
  assert.equal(await cache.exists('lock'), false)
  await cache.set('for ever', 1)
  assert.equal(await cache.ttl('for ever'), Infinity)
  await cache.set('soon', 1, { ttl: 0.02 })
  await until(async () => await cache.get('soon') === undefined, 'it expires')
})

test('counters are numbers while those are exact, and bigints beyond', async (t) => {
  const cache = await open(t)
  assert.equal(await cache.incr('n'), 1)
  assert.equal(await cache.incr('n', 41), 42)
  assert.equal(await cache.incr('n', -2), 40)
  assert.equal(await cache.incr('n', Number.MAX_SAFE_INTEGER - 40), Number.MAX_SAFE_INTEGER)
  assert.equal(await cache.incr('n'), 9007199254740992n)
  assert.equal(await cache.incr('n', 2n ** 62n), 2n ** 62n + 2n ** 53n)
  await assert.rejects(cache.incr('n', 2n ** 62n), (error) => error instanceof ForebayError)
  await assert.rejects(cache.incr('n', 0.5), TypeError)
  await assert.rejects(cache.incr('n', 2n ** 63n), RangeError)
  await cache.set('text', 'text')
  await assert.rejects(cache.incr('text'), (error) => error instanceof ForebayError)
})

test('operations on a key keep the order of the program, awaited or not', async (t) => {
  const cache = await open(t)
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 50; i++) {
      cache.set('ordered', i)
    }
    assert.equal(await cache.get('ordered'), 49)
    cache.delete('ordered')
    assert.equal(await cache.get('ordered'), undefined)
  }
})

test('thousands of gets at once take few round trips, and each has its own answer', async (t) => {
  const cache = await open(t, { region: false })
  const keys = Array.from({ length: 5000 }, (_, i) => `key:${i}`)
  await cache.setMany(keys.map((key, i) => [key, i]))
  const before = cache.figures().requests
  const values = await Promise.all([...keys, 'nobody'].map((key) => cache.get(key)))
  assert.deepEqual(values, [...keys.map((_, i) => i), undefined])
  assert.equal(cache.figures().failures, 0)
  const requests = cache.figures().requests - before
  assert.ok(requests < 1000, String(requests))
})

test('fetching: loaded once, then from memory; nothing is undefined', async (t) => {
  const cache = await open(t)
  const apple = { name: 'apple', price: 1.5, colour: 'red' }
  const fetch = () => cache.fetch('fruit', { name: 'apple' })
  const all = await Promise.all(Array.from({ length: 20 }, fetch))
  all.forEach((one) => assert.deepEqual(one, apple))
  assert.equal(await cache.fetch('fruit', { name: 'stone' }), undefined)
  await whileTheRegionIsThere(cache, 'fruit:apple', async () => {
    const before = cache.figures().requests
    assert.deepEqual(cache.peekFetch('fruit', { name: 'apple' }), apple)
    assert.deepEqual(await cache.fetch('fruit', { name: 'apple' }), apple)
    assert.equal(cache.figures().requests, before)
  })
  const before = cache.figures().requests
  assert.deepEqual(await cache.fetch('fruit', { name: 'apple' }, { refresh: true }), apple)
  assert.ok(cache.figures().requests > before)
})

test('an invalidation is seen by every read that begins after it', async (t) => {
  const cache = await open(t)
  const fetch = () => cache.fetch('fruit', { name: 'cherry' })
  for (const what of [{ key: 'fruit:cherry' }, { tag: 'colour:red' }, { class: 'fruit' },
    { pattern: 'fruit:*' }, { all: true }]) {
    await until(async () => {
      assert.deepEqual(await fetch(), { name: 'cherry', price: 7, colour: 'red' })
      return cache.peekFetch('fruit', { name: 'cherry' }) !== undefined
    }, 'it is in the region')
    await cache.invalidate(what)
    assert.equal(cache.peekFetch('fruit', { name: 'cherry' }), undefined)
    assert.equal(cache.peek('fruit:cherry'), undefined)
  }
  await assert.rejects(cache.invalidate({}), TypeError)
  await assert.rejects(cache.invalidate({ key: 'a', tag: 'b' }), TypeError)
})

test('slow fetches hold nothing else up', async (t) => {
  const cache = await open(t)
  let early
  for (let turn = 0; turn < 5 && early !== true; turn++) {
    // A process that stood still meanwhile says nothing.
    const rounds = Array.from({ length: 40 }, (_, i) => 100_000 + 40 * turn + i)
    const slow = rounds.map((one) => cache.fetch('slow', { rounds: one }))
    let ended = 0
    slow.forEach((one) => one.then(() => ended++))
    await cache.set('a', turn)
    assert.equal(await cache.get('a'), turn)
    await require('node:fs').promises.stat(__filename)
    early = ended < 40
    assert.deepEqual((await Promise.all(slow)).map((one) => one.rounds), rounds)
  }
  assert.ok(early, 'asked for first, and not waited for')
})

test('what the daemon says is the error, its kind the code, the place that of who waits', async (t) => {
  const cache = await open(t)
  async function whoWaits() {
    await cache.fetch('no-such-class', { name: 'a' })
  }
  await assert.rejects(whoWaits(), (error) => {
    assert.ok(error instanceof ForebayError && error instanceof Error)
    assert.equal(error.code, 'ENOCLASS')
    assert.match(error.message, /no-such-class/)
    assert.match(error.stack, /ForebayError: .*\n(.*\n)*.*whoWaits/)
    return true
  })
  await assert.rejects(cache.fetch('fruit', { colour: 'red' }), { code: 'EINVAL' })
  await assert.rejects(cache.fetch('slow', { rounds: 100_000_000 }, { timeout: 10 }),
    { code: 'ETIMEDOUT' })
})

test('what is no key, no value, no lifetime is refused at once', async (t) => {
  const cache = await open(t)
  for (const key of [undefined, null, 5, {}, Symbol('a')]) {
    await assert.rejects(cache.get(key), TypeError)
    assert.throws(() => cache.peek(key), TypeError)
  }
  await assert.rejects(cache.get('x'.repeat(65_536)), RangeError)
  for (const value of [undefined, () => 1, Symbol('a'), 1n]) {
    await assert.rejects(cache.set('a', value), TypeError)
  }
  for (const ttl of [0, -1, NaN, Infinity, '5', null]) {
    await assert.rejects(cache.set('a', 1, { ttl }), RangeError)
  }
  assert.throws(() => cache.peekInto('a', 'no buffer'), TypeError)
  assert.throws(() => new Client({ timeout: -1 }), RangeError)
  assert.throws(() => new Client({ url: 'http://127.0.0.1' }), (error) => error.code === 'EINVAL')
  assert.throws(() => new Client({ url: 5 }), TypeError)
  for (const parameters of ['plum', 5, ['name', 'plum'], { name: {} }, { name: null }, { name: ['plum'] }]) {
    await assert.rejects(cache.fetch('fruit', parameters), TypeError)
    assert.throws(() => cache.peekFetch('fruit', parameters), TypeError)
  }
})

test('keys may have any bytes and up to 65535 of them', async (t) => {
  const cache = await open(t)
  const keys = ['ключ', '🌊'.repeat(70), 'a\0b', 'x'.repeat(251), 'x'.repeat(252), 'x'.repeat(65_535)]
  await cache.setMany(keys.map((key, i) => [key, i]))
  for (const [i, key] of keys.entries()) {
    assert.equal(await cache.get(key), i)
    assert.equal(await cache.get(Buffer.from(key)), i)
  }
})

test('after close() a client says that it is closed; close() waits for what is under way', async (t) => {
  const cache = await open(t)
  const last = cache.set('last', 1)
  await cache.close()
  await last
  await cache.close()
  assert.throws(() => cache.peek('last'), { code: 'ECLOSED' })
  await assert.rejects(cache.get('last'), { code: 'ECLOSED' })
  await assert.rejects(cache.fetch('fruit', { name: 'apple' }), { code: 'ECLOSED' })
})

test('one parameter too many is refused, however it is asked for', async (t) => {
  const client = new Client({ url: '127.0.0.1:1', onWarning() {} })
  t.after(() => client.close())
  const parameters = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`p${i}`, i]))
  for (const refresh of [false, true]) {
    await assert.rejects(client.fetch('fruit', parameters, { refresh }), /too many parameters/)
  }
})

test('bytes in other clothes are refused, not kept as an object', async (t) => {
  const client = new Client({ url: '127.0.0.1:1', onWarning() {} })
  t.after(() => client.close())
  for (const value of [new ArrayBuffer(3), new Uint16Array(3), new DataView(new ArrayBuffer(3)),
    new SharedArrayBuffer(3)]) {
    await assert.rejects(client.set('a', value), /bytes are kept of a Buffer or a Uint8Array/)
  }
})
