// No daemon, a daemon that is killed, one that comes back, one that hangs.
'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')

const { Client } = require('..')
const { Daemon, until } = require('./daemon')

// A client that notes what it warns of.
function watched(t, daemon, options) {
  const events = []
  const cache = new Client({
    url: daemon.url, timeout: 60_000, retry: 20, onWarning: (event, text) => events.push({ event, text }), ...options
  })
  t.after(() => cache.close())
  return { cache, events, names: () => events.map((one) => one.event) }
}

test('without a daemon there is a small cache of one\'s own, and one warning', async (t) => {
  const daemon = new Daemon()
  t.after(() => daemon.remove())
  const { cache, events, names } = watched(t, daemon, { retry: 60_000 })
  assert.equal(await cache.get('a'), undefined)
  await cache.set('a', { x: 1 }, { ttl: 60 })
  assert.deepEqual(await cache.get('a'), { x: 1 })
  assert.equal(await cache.incr('n', 5), 5)
  assert.equal(await cache.expire('a', 30), true)
  assert.equal(await cache.delete('a'), true)
  assert.equal(await cache.get('a'), undefined)
  await assert.rejects(cache.fetch('fruit', { name: 'apple' }), { code: 'EUNAVAILABLE' })
  await assert.rejects(cache.invalidate({ tag: 'colour:red' }), { code: 'EUNAVAILABLE' })
  assert.deepEqual(names(), ['daemon_away'])
  assert.ok(events[0].text.length > 0)
  assert.equal(cache.figures().daemonThere, false)
})

test('what listens to warnings must be a function', () => {
  for (const onWarning of [null, 5, 'f', {}]) {
    assert.throws(() => new Client({ onWarning }), /onWarning: a function is expected/)
  }
})

test('a killed daemon costs a warning and no answer; a new one is taken up', async (t) => {
  const daemon = await Daemon.start(t)
  const { cache, names } = watched(t, daemon)
  await cache.set('a', 'before')
  assert.equal(await cache.get('a'), 'before')
  for (let outage = 1; outage <= 2; outage++) {
    await daemon.stop('SIGKILL')
    await cache.set('b', outage)
    assert.equal(await cache.get('b'), outage)
    await cache.set('a', 'meanwhile')
    await daemon.start()
    await until(async () => {
      await cache.get('c')
      return cache.figures().daemonThere
    }, 'the client is back')
    // What was set meanwhile was this process's own, and what it changed is gone for all.
    assert.equal(await cache.get('b'), undefined)
    assert.equal(await cache.get('a'), undefined)
    await cache.set('a', 'again')
    assert.equal(await cache.get('a'), 'again')
    assert.deepEqual(await cache.fetch('fruit', { name: 'plum' }),
      { name: 'plum', price: 2.25, colour: 'blue' })
    assert.deepEqual(names(), Array(outage).fill(['daemon_away', 'daemon_back']).flat())
  }
})

test('a daemon that hangs is given its time, and no more', async (t) => {
  const daemon = await Daemon.start(t)
  const { cache, names } = watched(t, daemon, { timeout: 100, retry: 60_000 })
  await cache.set('a', 1)
  daemon.process.kill('SIGSTOP')
  const began = Date.now()
  await Promise.all(Array.from({ length: 2000 }, (_, i) => cache.get(`missing:${i}`)))
  assert.ok(Date.now() - began < 20_000)
  assert.deepEqual(names(), ['daemon_away'])
  daemon.process.kill('SIGCONT')
})

test('without a listener the process is warned, once', async (t) => {
  const daemon = new Daemon()
  t.after(() => daemon.remove())
  const cache = new Client({ url: daemon.url, retry: 60_000 })
  const warnings = []
  const note = (warning) => warning.name === 'ForebayWarning' && warnings.push(warning)
  process.on('warning', note)
  t.after(() => process.off('warning', note))
  await cache.get('a')
  await cache.get('b')
  await until(() => warnings.length > 0, 'a warning')
  await cache.close()
  assert.deepEqual(warnings.map((warning) => warning.code), ['daemon_away'])
})
