// build.js: compiles the addon with the C compiler at hand; `npm install` runs it.
//
//   node build.js            compiles into build/Release/forebay.node
//   node build.js collect    copies forebay's C sources into core/, for a package that stands alone
//   node build.js tidy       removes them again
//
// npm collects before it packs, and before it installs this folder, which some of its versions link and
// others pack; it tidies after it packed.
//
// It needs a C compiler ($CC, else cc), Node's headers and the header xxhash.h; $CFLAGS is added.
// Inside forebay's own tree the sources are those of the tree, elsewhere those of core/.
'use strict'

const { execFile, execFileSync, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const here = __dirname
const tree = path.join(here, '..', '..')
const core = path.join(here, 'core')
const target = path.join(here, 'build', 'Release', 'forebay.node')
const cc = process.env.CC || 'cc'

function fail(text) {
  console.error(`forebay: ${text}`)
  process.exit(1)
}

function inTree() {
  return fs.existsSync(path.join(tree, 'tools', 'client-sources')) &&
    fs.existsSync(path.join(tree, 'include', 'forebay', 'client.h'))
}

function ownSources() {
  return fs.readdirSync(path.join(here, 'src')).filter((name) => name.endsWith('.c')).sort()
    .map((name) => path.join(here, 'src', name))
}

// The folder that include/ and src/ of forebay are in, and its .c files there.
function forebaySources() {
  if (inTree()) {
    const list = execFileSync(path.join(tree, 'tools', 'client-sources'), { encoding: 'utf8' })
    return { root: tree, files: list.split('\n').filter(Boolean) }
  }
  const list = path.join(core, 'sources.json')
  if (!fs.existsSync(list)) {
    fail('its C sources are missing: neither is this folder inside the tree of forebay, nor is ' +
      `there ${list}, which \`npm pack\` in that tree puts into a package`)
  }
  return { root: core, files: JSON.parse(fs.readFileSync(list, 'utf8')) }
}

function nodeHeaders() {
  const prefix = path.dirname(path.dirname(fs.realpathSync(process.execPath)))
  const folders = [
    process.env.npm_config_nodedir, prefix, process.config.variables.node_prefix, '/usr',
    '/usr/local',
    path.join(os.homedir(), '.cache', 'node-gyp', process.versions.node)
  ].filter(Boolean).map((folder) => path.join(folder, 'include', 'node'))
  const found = folders.find((folder) => fs.existsSync(path.join(folder, 'node_api.h')))
  if (!found) {
    fail('Node\'s header node_api.h is missing (on Debian: apt install libnode-dev). Looked in\n  ' +
      [...new Set(folders)].join('\n  ') +
      '\nAnother installation of Node is named by --nodedir=FOLDER or npm_config_nodedir.')
  }
  return found
}

function needCompiler() {
  const words = cc.split(' ')
  if (spawnSync(words[0], [...words.slice(1), '--version']).status !== 0) {
    fail(`no C compiler: \`${cc}\` does not run (on Debian: apt install gcc libc6-dev; ` +
      'CC names another)')
  }
}

function needHeader(name, where) {
  const words = cc.split(' ')
  const status = spawnSync(words[0], [...words.slice(1), ...cflags(), '-E', '-x', 'c', '-'],
    { input: `#include <${name}>\n` }).status
  if (status !== 0) {
    fail(`the header ${name} is missing (on Debian: apt install ${where})`)
  }
}

function cflags() {
  return (process.env.CFLAGS || '').split(' ').filter(Boolean)
}

function flags(root, headers) {
  const { version } = require('./package.json')
  return ['-std=gnu11', '-O2', '-g', '-fPIC', '-fvisibility=hidden', '-fno-common', '-pthread',
    '-D_GNU_SOURCE', `-DFB_VERSION="${version}"`,
    `-I${path.join(root, 'include')}`, `-I${path.join(root, 'src')}`, '-isystem', headers,
    ...cflags()]
}

function run(words) {
  const command = cc.split(' ')
  return new Promise((resolve, reject) => {
    execFile(command[0], [...command.slice(1), ...words], (error, out, text) => {
      process.stderr.write(text)
      error ? reject(error) : resolve(out)
    })
  })
}

// `work` for each of `items`, on all processors.
async function inParallel(items, work) {
  const waiting = [...items]
  const worker = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
      await work(item)
    }
  }
  await Promise.all(Array.from({ length: os.cpus().length || 1 }, worker))
}

async function compile() {
  needCompiler()
  needHeader('stdlib.h', 'libc6-dev')
  needHeader('xxhash.h', 'libxxhash-dev')
  const { root, files } = forebaySources()
  const words = flags(root, nodeHeaders())
  // Linked in a folder of its own and moved: a process that has the old one loaded keeps it.
  fs.mkdirSync(path.dirname(target), { recursive: true })
  const work = fs.mkdtempSync(path.join(here, 'build', 'work-'))
  try {
    const jobs = [...files.map((file) => path.join(root, file)), ...ownSources()]
      .map((file, number) => ({ file, object: path.join(work, `${number}.o`) }))
    await inParallel(jobs, ({ file, object }) => run([...words, '-c', file, '-o', object]))
    const linked = path.join(work, 'forebay.node')
    // nodelete: threads of the addon may outlive the worker that loaded it. now: what is missing is
    // missed when it is loaded.
    await run(['-shared', '-pthread', '-Wl,-z,nodelete,-z,now', '-Wl,-Bsymbolic', ...cflags(),
      '-o', linked, ...jobs.map((job) => job.object), '-lm'])
    require(linked)
    fs.renameSync(linked, target)
  } finally {
    fs.rmSync(work, { recursive: true })
  }
}

// forebay's .c files and the headers they include, as the compiler names them.
async function collect() {
  needCompiler()
  if (!inTree()) {
    return
  }
  const { files } = forebaySources()
  const words = ['-std=gnu11', '-D_GNU_SOURCE', '-MM', '-Iinclude', '-Isrc']
  const out = execFileSync(cc.split(' ')[0],
    [...cc.split(' ').slice(1), ...words, ...files,
      ...ownSources().filter((file) => file.endsWith('crew.c'))], { cwd: tree, encoding: 'utf8' })
  const wanted = new Set(out.split(/[\s\\]+/)
    .filter((word) => /^(src|include)\/.*\.[ch]$/.test(word)))
  fs.rmSync(core, { recursive: true, force: true })
  for (const file of wanted) {
    fs.mkdirSync(path.join(core, path.dirname(file)), { recursive: true })
    fs.copyFileSync(path.join(tree, file), path.join(core, file))
  }
  fs.writeFileSync(path.join(core, 'sources.json'), JSON.stringify(files, null, 1) + '\n')
}

const steps = {
  compile,
  collect,
  tidy: async () => inTree() && fs.rmSync(core, { recursive: true, force: true })
}
const step = steps[process.argv[2] || 'compile']
if (!step) {
  fail(`no such step: ${process.argv[2]}`)
}
step().catch((error) => fail(`not built: ${error.message.split('\n')[0]}`))
