export { Client, ForebayError, cached } from './index.js'
export type * from './index.js'
