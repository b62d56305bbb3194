// cached(): a function behind the cache.
'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')

const { Client, cached } = require('..')
const { Daemon, until } = require('./daemon')

async function open(t) {
  let client
  t.after(() => client?.close())
  const daemon = await Daemon.start(t)
  client = new Client({ url: daemon.url, timeout: 60_000 })
  return { client, daemon }
}

// A function that counts its calls and ends when it is told to.
function loader(give = (x) => ({ x })) {
  const waiting = []
  async function load(...args) {
    load.calls++
    await new Promise((resolve) => waiting.push(resolve))
    return give(...args)
  }
  load.calls = 0
  load.begun = async () => {
    while (waiting.length === 0) {
      await new Promise(setImmediate)
    }
  }
  load.end = async () => {
    await load.begun()
    waiting.shift()()
  }
  return load
}

test('it is called once for all who ask at the same time, and then not at all', async (t) => {
  const { client } = await open(t)
  const load = loader()
  const get = cached(load, { client, ttl: 60, key: (x) => `load:${x}` })
  const all = Array.from({ length: 50 }, () => get(1))
  await load.end()
  const values = await Promise.all(all)
  values.forEach((value) => assert.deepEqual(value, { x: 1 }))
  assert.notEqual(values[0], values[1], 'everyone has an object of his own')
  assert.deepEqual(await get(1), { x: 1 })
  assert.equal(load.calls, 1)
  assert.deepEqual(await client.get('load:1'), { x: 1 })
  const left = await client.ttl('load:1')
  assert.ok(left > 50 && left <= 60)
})

test('the first caller gets what later ones get', async (t) => {
  const { client } = await open(t)
  const get = client.cached(async () => ({ at: new Date(0), no: undefined }), { key: 'date' })
  assert.deepEqual(await get(), { at: '1970-01-01T00:00:00.000Z' })
  assert.deepEqual(await get(), { at: '1970-01-01T00:00:00.000Z' })
})

test('an error reaches all who wait for it and is not kept', async (t) => {
  const { client } = await open(t)
  const load = loader((x) => { throw new Error(`no ${x}`) })
  const get = client.cached(load, { key: 'e' })
  const all = [get(1), get(1)]
  await load.end()
  for (const outcome of await Promise.allSettled(all)) {
    assert.equal(outcome.reason?.message, 'no 1')
  }
  assert.equal(load.calls, 1)
  const again = get(1)
  await load.end()
  await assert.rejects(again, /no 1/)
  assert.equal(load.calls, 2)
})

test('undefined is not kept, null is', async (t) => {
  const { client } = await open(t)
  let calls = 0
  const get = client.cached((x) => { calls++; return x }, { key: (x) => `v:${x}` })
  assert.equal(await get(undefined), undefined)
  assert.equal(await get(undefined), undefined)
  assert.equal(calls, 2)
  assert.equal(await get(null), null)
  assert.equal(await get(null), null)
  assert.equal(calls, 3)
})

test('an invalidation overtakes a call under way: it is answered, and not kept', async (t) => {
  const { client } = await open(t)
  let version = 1
  const load = loader(() => version)
  const get = client.cached(load, { key: 'versioned' })
  const early = get()
  await load.begun()
  await get.invalidate()
  const late = get()
  await load.end()
  assert.equal(await early, 1)
  assert.equal(await client.get('versioned:'), undefined)
  version = 2
  await load.end()
  assert.equal(await late, 2)
  assert.equal(await get(), 2)
  assert.equal(load.calls, 2)
})

test('refresh() calls the function and keeps what it gives', async (t) => {
  const { client } = await open(t)
  let version = 0
  const get = client.cached(() => ++version, { key: 'r' })
  assert.equal(await get(), 1)
  assert.equal(await get(), 1)
  assert.equal(await get.refresh(), 2)
  assert.equal(await get(), 2)
})

test('keys: one\'s own, a prefix and the arguments, or made of the function', async (t) => {
  const { client } = await open(t)
  async function square(x) { return x * x }
  const get = client.cached(square, { key: 'sq' })
  assert.equal(get.name, 'square')
  assert.equal(get.key(3), 'sq:3')
  assert.equal(await get(3), 9)
  assert.equal(await client.get('sq:3'), 9)
  assert.equal(get.key({ b: [1, 'a'], a: null }, undefined), 'sq:{"a":null,"b":[1,"a"]},undefined')
  assert.equal(get.key({ a: 1, b: 2 }), get.key({ b: 2, a: 1 }))
  const different = [[], [undefined], [null], ['null'], [1], ['1'], [1n], [NaN], [''], ['', ''], [[]],
    [{}], [new Date(1)], ['date(1)'], [Buffer.from('a')], ['x'.repeat(300)], ['x'.repeat(301)]]
  assert.equal(new Set(different.map((args) => get.key(...args))).size, different.length)
  assert.ok(get.key('x'.repeat(100_000)).length < 100)
  for (const argument of [new Map(), () => 1, Symbol('a'), new (class Own {})()]) {
    assert.throws(() => get.key(argument), TypeError)
  }
  assert.throws(() => client.cached(square, { key: '' }), TypeError)
  assert.throws(() => cached('no function'), TypeError)
})

test('functions that were given no key do not share theirs', async (t) => {
  const { client } = await open(t)
  const one = client.cached(async function price(x) { return `one ${x}` }, { ttl: 60 })
  const two = client.cached(async function price(x) { return `two ${x}` }, { ttl: 60 })
  const three = client.cached(async (x) => `three ${x}`)
  assert.deepEqual([await one(1), await two(1), await three(1)], ['one 1', 'two 1', 'three 1'])
  assert.deepEqual([await one(1), await two(1), await three(1)], ['one 1', 'two 1', 'three 1'])
  assert.match(one.key(1), /^price#[0-9a-f]{12}:1$/)
})

test('bytes stay bytes, whatever is in them', async (t) => {
  const { client } = await open(t)
  const get = client.cached((text) => Buffer.from(text), { key: 'bytes' })
  for (const text of ['[1]', '', '123', 'plain']) {
    assert.deepEqual(await get(text), Buffer.from(text))
    assert.deepEqual(await get(text), Buffer.from(text))
  }
})

test('a method keeps its object', async (t) => {
  const { client } = await open(t)
  class Shop {
    prices = { apple: 1.5 }
    price = client.cached(function (name) { return this.prices[name] }, { key: 'price' })
  }
  assert.equal(await new Shop().price('apple'), 1.5)
})

test('other processes have it too', async (t) => {
  const { client, daemon } = await open(t)
  await client.cached((x) => x + 1, { key: 'shared' })(1)
  const other = new Client({ url: daemon.url, timeout: 60_000 })
  await until(() => other.exists('shared:1'), 'it is kept: nobody waited for that')
  assert.equal(await other.cached(() => assert.fail('it was called'), { key: 'shared' })(1), 2)
  await other.close()
})

test('what does not fit into the cache is given all the same', async (t) => {
  const { daemon } = await open(t)
  const events = []
  const client = new Client({
    url: daemon.url, timeout: 60_000, onWarning: (event) => events.push(event)
  })
  const get = client.cached((n) => 'x'.repeat(n), { key: 'large' })
  assert.equal((await get(50_000_000)).length, 50_000_000)
  await until(() => events.length > 0, 'it is said')
  assert.deepEqual(events, ['not_kept'])
  await client.close()
})

test('those who waited for the same bytes have their own', async () => {
  const client = new Client({ url: '127.0.0.1:1', onWarning() {} })
  const f = client.cached(async () => Buffer.from('abc'), { ttl: 60, key: 'f' })
  const [one, other] = await Promise.all([f(), f()])
  one[0] = 65
  assert.equal(other.toString(), 'abc')
  assert.equal((await f()).toString(), 'abc')
  await client.close()
})

test('what could never work is refused', async () => {
  const client = new Client({ url: '127.0.0.1:1', onWarning() {} })
  for (const fn of [function * () {}, async function * () {}]) {
    assert.throws(() => client.cached(fn, { ttl: 60 }), /generator/)
  }
  const f = client.cached((n) => f(n), { ttl: 60, key: 'f' })
  await assert.rejects(f.refresh(1), /calls itself with the same arguments/)
  await client.close()
})
