// A real forebay for the tests: in a folder of its own, watched through its log, stopped by its
// process id. PROGRAM in the environment names the program.
'use strict'

const { execFileSync, spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const readline = require('node:readline')

const PROGRAM = process.env.PROGRAM || path.join(__dirname, '..', '..', '..', 'build', 'forebay')

const CONFIG = `
sources:
  shop: {sqlite: shop.db}
classes:
  fruit:
    key: "fruit:{name}"
    normalise: [trim, casefold]
    source: shop
    query: "SELECT name, price, colour FROM fruit WHERE name = :name"
    one: true
    ttl: 1h
    tags: ["colour:{colour}"]
  slow:
    key: "slow:{rounds}"
    source: shop
    query: >
      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rounds)
      SELECT count(*) AS rounds FROM n
    one: true
    parameters: {rounds: {type: integer, min: 1}}
    ttl: 1h
    hard_timeout: 1m
`
const SHOP = `
CREATE TABLE fruit (name TEXT PRIMARY KEY, price REAL, colour TEXT);
INSERT INTO fruit VALUES ('apple', 1.5, 'red'), ('cherry', 7.0, 'red'), ('plum', 2.25, 'blue');
`

class Daemon {
  constructor() {
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'forebay-js.'))
    fs.writeFileSync(path.join(this.folder, 'forebay.yaml'), CONFIG)
    execFileSync('sqlite3', [path.join(this.folder, 'shop.db')], { input: SHOP })
    this.socket = path.join(this.folder, 'socket')
    this.url = `unix:${this.socket}`
    this.process = null
  }

  // One that the test stops and removes by itself.
  static async start(t) {
    const daemon = new Daemon()
    t.after(() => daemon.remove())
    await daemon.start()
    return daemon
  }

  async start() {
    const words = ['serve', '--config', path.join(this.folder, 'forebay.yaml')]
    const settings = ['log.format=json', 'listen.resp=127.0.0.1:0', 'listen.http=off',
      `listen.socket=${this.socket}`, `region.file=${path.join(this.folder, 'region')}`]
    for (const setting of settings) {
      words.push('--set', setting)
    }
    const env = Object.fromEntries(Object.entries(process.env)
      .filter(([name]) => !name.startsWith('FOREBAY_') && !name.startsWith('REDIS_')))
    this.process = spawn(PROGRAM, words, { cwd: this.folder, env, stdio: ['ignore', 'ignore', 'pipe'] })
    this.ended = once(this.process, 'exit')
    this.log = []
    for await (const line of readline.createInterface({ input: this.process.stderr })) {
      this.log.push(line)
      if (line.includes('"ready"')) {
        this.process.stderr.resume()
        return
      }
    }
    throw new Error(`forebay did not start:\n${this.log.join('\n')}`)
  }

  // [status, signal]
  async stop(signal = 'SIGTERM') {
    this.process.kill(signal)
    return this.ended
  }

  async remove() {
    if (this.process && this.process.exitCode === null && this.process.signalCode === null) {
      await this.stop('SIGKILL')
    }
    fs.rmSync(this.folder, { recursive: true, force: true })
  }
}

// Until `check()` is true: for what other processes do, which tells nobody when it is done.
async function until(check, what) {
  const end = Date.now() + 60_000
  while (!await check()) {
    if (Date.now() > end) {
      throw new Error(`not within a minute: ${what}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

module.exports = { Daemon, until }
