import forebay from './index.js'

export const { Client, ForebayError, cached } = forebay
export default forebay
