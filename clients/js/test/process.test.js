// Worker threads, processes, and their ends.
'use strict'

const assert = require('node:assert/strict')
const { execFile, fork } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')
const { test } = require('node:test')
const { Worker } = require('node:worker_threads')

const { Client } = require('..')
const { Daemon } = require('./daemon')

const PACKAGE = path.join(__dirname, '..')

// Runs `code` in a process of its own; { status, signal, out, err }.
function run(code, { url, words = [] }) {
  return new Promise((resolve) => {
    execFile(process.execPath, [...words, '-e', code], {
      env: { ...process.env, FOREBAY_URL: url, PACKAGE }, timeout: 120_000
    }, (error, out, err) => resolve({ status: error ? error.code : 0, signal: error?.signal, out, err }))
  })
}

const PRELUDE = 'const { Client, cached } = require(process.env.PACKAGE);' +
  'const cache = new Client({ timeout: 60000 });'

test('a process ends by itself when nothing is under way, without close()', async (t) => {
  const { url } = await Daemon.start(t)
  const codes = [
    '',
    'cache.get("a").then(console.log)',
    'cache.set("a", 1); cache.fetch("fruit", { name: "apple" }).then((it) => console.log(it.price))',
    'cached(async () => 5, { key: "k" })().then(console.log)',
    'for (let i = 0; i < 50; i++) new Client(); gc()'
  ]
  const outs = []
  for (const code of codes) {
    let ended
    // A client without options warns of a daemon that gets no turn for a second.
    for (let turn = 0; turn < 5 && (turn === 0 || ended.err.includes('daemon_away')); turn++) {
      ended = await run(PRELUDE + code, { url, words: ['--expose-gc'] })
    }
    const { status, signal, out, err } = ended
    assert.deepEqual({ status, signal, err }, { status: 0, signal: undefined, err: '' })
    outs.push(out)
  }
  assert.deepEqual(outs, ['', 'undefined\n', '1.5\n', '5\n', ''])
})

test('a process may exit in the middle of requests', async (t) => {
  const { url } = await Daemon.start(t)
  const busy = `${PRELUDE}
    for (let i = 0; i < 60; i++) { cache.fetch("slow", { rounds: 5000000 + i }); cache.set("k" + i, i); cache.get("m" + i) }`
  const began = Date.now()
  assert.equal((await run(`${busy} process.exit(7)`, { url })).status, 7)
  assert.equal((await run(`${busy} setTimeout(() => process.exit(8), 30)`, { url })).status, 8)
  const { status, err } = await run(`${busy} setTimeout(() => { throw new Error("mine") }, 10)`, { url })
  assert.equal(status, 1)
  assert.match(err, /Error: mine/)
  assert.ok(Date.now() - began < 60_000)
})

test('what a listener throws at once is the process\'s, and its answers come all the same', async () => {
  const { status, out } = await run(`const { Client } = require(process.env.PACKAGE)
    process.on('uncaughtException', (error) => console.log(error.message))
    const cache = new Client({ onWarning: () => {} })
    process.nextTick = () => { throw new Error('mine') }
    cache.get('a').then((found) => console.log(found))`, { url: '127.0.0.1:1' })
  assert.deepEqual({ status, out }, { status: 0, out: 'mine\nundefined\n' })
})

test('worker threads have clients of their own, and may be ended at any time', async (t) => {
  const { url } = await Daemon.start(t)
  const cache = new Client({ url, timeout: 60_000 })
  t.after(() => cache.close())
  await cache.set('a', { from: 'main' })
  const code = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { Client } = require(workerData.PACKAGE)
    const cache = new Client({ url: workerData.url, timeout: 60000 })
    cache.get('a').then(async (value) => {
      await cache.incr('workers')
      parentPort.postMessage(value)
      if (workerData.busy) {
        for (let i = 0; i < 40; i++) { cache.fetch('slow', { rounds: 3000000 + i }); cache.get('m' + i) }
        setInterval(() => cache.get('never there'), 0)
      }
    })`
  const start = (busy) => new Worker(code, { eval: true, workerData: { PACKAGE, url, busy } })
  for (let round = 0; round < 5; round++) {
    const workers = [start(false), start(true)]
    const ended = once(workers[0], 'exit')
    const messages = await Promise.all(workers.map((worker) => once(worker, 'message')))
    assert.deepEqual(messages, [[{ from: 'main' }], [{ from: 'main' }]])
    await Promise.all([ended, workers[1].terminate()])
  }
  assert.equal(await cache.get('workers'), 10)
})

test('processes of a host share what one of them has set', async (t) => {
  const { url } = await Daemon.start(t)
  const cache = new Client({ url, timeout: 60_000 })
  t.after(() => cache.close())
  const code = path.join(__dirname, 'child.js')
  const children = Array.from({ length: 4 }, () => fork(code, { env: { ...process.env, FOREBAY_URL: url } }))
  await cache.set('shared', { by: process.pid })
  const answers = await Promise.all(children.map(async (child) => {
    const ended = once(child, 'exit')
    child.send('go')
    const [answer] = await once(child, 'message')
    assert.deepEqual(await ended, [0, null])
    return answer
  }))
  for (const answer of answers) {
    assert.deepEqual(answer.value, { by: process.pid })
    assert.ok(answer.regionHits > 0)
  }
  assert.equal(await cache.get('visits'), 4)
})

test('a million gets leave nothing behind', async (t) => {
  const { url } = await Daemon.start(t)
  const code = `${PRELUDE}
    const buffer = Buffer.alloc(256)
    async function round(hits, misses) {
      for (let i = 0; i < hits; i++) { await cache.get('json'); cache.peek('bytes'); cache.peekInto('json', buffer) }
      for (let i = 0; i < misses; i++) { await Promise.all([cache.get('nobody'), cache.getBuffer('json'), cache.fetch('no class').catch(() => 0)]) }
      gc(); gc()
      return process.memoryUsage()
    }
    (async () => {
      await cache.set('json', { a: 1 }); await cache.set('bytes', Buffer.alloc(100, 255))
      const before = await round(50000, 3000)
      const after = await round(450000, 15000)
      const grown = (name) => Math.round((after[name] - before[name]) / 1024)
      console.log(JSON.stringify({ rss: grown('rss'), heap: grown('heapUsed'), external: grown('external') }))
    })()`
  const { status, out, err } = await run(code, { url, words: ['--expose-gc'] })
  assert.equal(status, 0, err)
  const grown = JSON.parse(out)
  t.diagnostic(`grown by KiB: ${out.trim()}`)
  assert.ok(grown.heap < 1024 && grown.external < 1024 && grown.rss < 24 * 1024, out)
})
