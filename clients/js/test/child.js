// A process of process.test.js: says what it finds.
'use strict'

const { Client } = require('..')

const cache = new Client({ timeout: 60_000 })
process.once('message', async () => {
  await cache.incr('visits')
  let value
  // A daemon that gets no turn for a second is asked instead.
  for (let i = 0; i < 100 || (cache.figures().regionHits === 0 && i < 100_000); i++) {
    value = await cache.get('shared')
  }
  process.send({ value, regionHits: cache.figures().regionHits })
  process.disconnect()
})
