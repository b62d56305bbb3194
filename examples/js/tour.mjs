// A minute with forebay from Node.js. Serve the catalogue with a region that others can read,
//
//     FOREBAY_REGION_FILE=/dev/shm/forebay make run
//
// and in this folder say `npm install`, and then `node tour.mjs`.

import { Client, cached } from 'forebay'

const cache = new Client()                       // FOREBAY_URL, or 127.0.0.1:6380

// Values: JSON, or bytes.
await cache.set('user:1', { name: 'Ada', rights: ['read', 'write'] }, { ttl: 300 })
console.log(await cache.get('user:1'))
console.log(await cache.ttl('user:1') > 299, await cache.incr('visits'), await cache.get('nobody'))

// Memory alone, and at once: nothing is awaited. Every process of this host sees it.
console.log(cache.peek('user:1').name)

// A class that the configuration declares: one query, however many ask.
const all = await Promise.all(Array.from({ length: 100 }, () =>
  cache.fetch('package', { name: 'bash' })))
console.log(all[99])

// A function of one's own: called once, for all who ask at the same time and for five minutes.
let calls = 0
const report = cached(async (year) => {
  calls++
  return { year, total: year * 12 }
}, { client: cache, ttl: 300, key: (year) => `report:${year}` })

await report.invalidate(2026)                    // what an earlier run of this tour left
await Promise.all([report(2026), report(2026), report(2026)])
console.log(await report(2026), 'after', calls, 'call')

const { regionHits, requests } = cache.figures()
console.log(regionHits > 0 ? 'memory is shared' : 'no shared memory: region.file is not set', requests > 0)
