// What index.d.ts declares is what there is; both kinds of modules see the same.
'use strict'

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')

const forebay = require('..')

const declarations = fs.readFileSync(path.join(__dirname, '..', 'index.d.ts'), 'utf8')

// The names of methods in `export class Name … {` or `export interface Name … {`.
function declaredIn(kind, name) {
  const body = declarations.match(new RegExp(`export ${kind} ${name}\\b[^{]*\\{\\n([^]*?)\\n\\}`))[1]
  return [...body.matchAll(/^ {2}(\w+)(?:<.*?>)?\(/gm)].map((match) => match[1]).sort()
}

test('every export is declared, and every declared one is there', () => {
  const declared = [...declarations.matchAll(/^export (?:class|function) (\w+)/gm)].map((one) => one[1])
  assert.deepEqual(declared.sort(), Object.keys(forebay).sort())
})

test('every method of Client and of a cached function is declared', () => {
  const methods = Object.getOwnPropertyNames(forebay.Client.prototype).sort()
  assert.deepEqual(declaredIn('class', 'Client'), methods)
  const call = forebay.cached(() => 1, { key: 'k' })
  const own = Object.getOwnPropertyNames(call).filter((name) => typeof call[name] === 'function')
  assert.deepEqual(declaredIn('interface', 'Cached'), own.sort())
})

test('ECMAScript modules see the same', async () => {
  const module = await import('forebay')
  assert.deepEqual(Object.keys(module).sort(), [...Object.keys(forebay), 'default'].sort())
  assert.equal(module.Client, forebay.Client)
  assert.equal(require('forebay').cached, forebay.cached)
})
