// A process of process.test.js: says what it finds.
'use strict'

const { Client } = require('..')

const cache = new Client()
process.once('message', async () => {
  await cache.incr('visits')
  let value
  for (let i = 0; i < 100; i++) {
    value = await cache.get('shared')
  }
  process.send({ value, regionHits: cache.figures().regionHits })
  process.disconnect()
})
