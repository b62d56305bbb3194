// BullMQ (npm) as the peer of bench_queue: `bull.mjs REDIS_SOCKET BATCH CALLERS`.
//
// Prints "ready"; for a line `add COUNT` so many CALLERS at once add so many jobs of 100 bytes in all, BATCH
// at a time (addBulk), for `work COUNT` a worker of BullMQ with BATCH jobs for each caller at once takes so
// many and completes them, which removes them. Then it prints `ELAPSED_NS`. What counts is the server's CPU time, which the caller reads.

import { createInterface } from 'node:readline'
import { Queue, Worker } from 'bullmq'
import Redis from 'ioredis'

const [path, ...words] = process.argv.slice(2)
const [batch, callers] = words.map(Number)
const value = 'v'.repeat(100)
const open = () => new Redis({ path, maxRetriesPerRequest: null })
const queue = new Queue('bench', {
  connection: open(),
  defaultJobOptions: { removeOnComplete: true, attempts: 3, backoff: { type: 'exponential', delay: 10000 } }
})
await queue.waitUntilReady()

async function addSome (count) {
  for (let done = 0; done < count; done += batch) {
    await queue.addBulk(Array.from({ length: Math.min(batch, count - done) }, () => ({ name: 'job', data: value })))
  }
}

async function add (count) {
  await Promise.all(Array.from({ length: callers }, () => addSome(count / callers)))
}

async function work (count) {
  let left = count
  let finish
  const finished = new Promise(resolve => { finish = resolve })
  const worker = new Worker('bench', async () => {}, { connection: open(), concurrency: batch * callers })
  worker.on('completed', () => { if (--left === 0) finish() })
  await finished
  await worker.close()
}

console.log('ready')
for await (const line of createInterface({ input: process.stdin })) {
  const [what, count] = line.split(' ')
  const begin = process.hrtime.bigint()
  await (what === 'add' ? add : work)(Number(count))
  console.log(String(process.hrtime.bigint() - begin))
}
process.exit(0)
