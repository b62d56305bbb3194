// forebay for Node.js. README.md shows it at work.

/** What the cache holds: JSON values, and bytes. */
export type Value = unknown

export interface ClientOptions {
  /**
   * Where the daemon is: 'unix:/run/forebay.sock', '127.0.0.1:6380', '[::1]:6380' or
   * 'forebay://user:password@host:port'. Otherwise $FOREBAY_URL, otherwise 127.0.0.1:6380.
   */
  url?: string
  /** Milliseconds that connecting, or one request, may take; 1000. */
  timeout?: number
  /** Milliseconds after a failure until the daemon is tried again; 500. */
  retry?: number
  /** Bytes of the cache of one's own that serves without a daemon; 16 MiB. */
  privateBytes?: number
  /** Seconds that a value lives there at most; 60. */
  privateTtl?: number
  /** false: never read the daemon's memory, always ask it. */
  region?: boolean
  /** Trust the memory of any user's daemon; otherwise root's and one's own. */
  anyOwner?: boolean
  /**
   * Told once of each change: 'daemon_away', 'daemon_back', 'region_refused', 'not_kept'. Otherwise
   * all but 'daemon_back' become warnings of the process.
   */
  onWarning?: (event: string, text: string) => void
}

export interface StoreOptions {
  /** Seconds to live; otherwise as the daemon has it for that key. */
  ttl?: number
}

export interface FetchOptions {
  /** Milliseconds to wait; otherwise the class's. */
  timeout?: number
  /** Load anew. */
  refresh?: boolean
}

export type Parameters = Record<string, string | number | bigint | boolean | undefined>

export type Invalidation = { soft?: boolean } & (
  | { key: string }
  | { pattern: string }
  | { tag: string }
  | { class: string }
  | { namespace: string }
  | { all: true }
)

export interface CachedOptions<A extends unknown[]> extends StoreOptions {
  /**
   * The key of a call's arguments; or a prefix for it. Otherwise the prefix is made of the function
   * and the place of the call of cached().
   */
  key?: string | ((...args: A) => string)
  /** Otherwise one for the whole process, with the options' defaults. */
  client?: Client
}

export interface Cached<A extends unknown[], R> {
  (...args: A): Promise<R>
  /** Calls the function, keeps and returns what it gives. */
  refresh(...args: A): Promise<R>
  /** Forgets the value; a call under way is answered, and not kept. */
  invalidate(...args: A): Promise<void>
  /** The key of these arguments. */
  key(...args: A): string
}

export interface Figures {
  regionHits: number
  requests: number
  failures: number
  privateHits: number
  daemonThere: boolean
  regionThere: boolean
}

/**
 * A cache client. JSON texts are given as their values, everything else as a Buffer. Operations on
 * one key take effect in the order of the calls, also where they are not awaited.
 */
export class Client {
  constructor(options?: ClientOptions | string)

  /** From memory alone, at once: the value, or undefined where memory does not have it. */
  peek<T = any>(key: string | Uint8Array): T | undefined
  /**
   * From memory alone, into `buffer`: how many bytes the value has, or -1. A value longer than
   * `buffer` is thrown as ETOOBIG.
   */
  peekInto(key: string | Uint8Array, buffer: Uint8Array): number
  /** Of a class's thing that was fetched before: from memory alone. */
  peekFetch<T = any>(className: string, parameters?: Parameters): T | undefined

  /** From memory, otherwise from the daemon; undefined where there is none. */
  get<T = any>(key: string | Uint8Array): Promise<T | undefined>
  /** The bytes, whatever they are. */
  getBuffer(key: string | Uint8Array): Promise<Buffer | undefined>
  /** Those that are there. */
  getMany<T = any, K extends string | Uint8Array = string>(keys: Iterable<K>): Promise<Map<K, T>>

  /** Bytes (a Buffer, a Uint8Array) as they are, everything else as JSON. */
  set(key: string | Uint8Array, value: Value, options?: StoreOptions): Promise<void>
  setMany(entries: Iterable<readonly [string | Uint8Array, Value]> | Record<string, Value>,
    options?: StoreOptions): Promise<void>
  /** Only if the key is not there: whether it was stored. */
  add(key: string | Uint8Array, value: Value, options?: StoreOptions): Promise<boolean>
  /** Whether it was there. */
  delete(key: string | Uint8Array): Promise<boolean>
  exists(key: string | Uint8Array): Promise<boolean>
  /** The sum: a number while that is safe as one, beyond that a bigint. */
  incr(key: string | Uint8Array, delta?: number | bigint): Promise<number | bigint>
  /** It goes in so many seconds; false where it is not there. */
  expire(key: string | Uint8Array, ttl: number): Promise<boolean>
  /** Seconds left; Infinity: it does not expire; undefined: it is not there. */
  ttl(key: string | Uint8Array): Promise<number | undefined>

  /** One thing of a declared class, from memory or through the daemon; undefined: there is none. */
  fetch<T = any>(className: string, parameters?: Parameters, options?: FetchOptions):
    Promise<T | undefined>
  /** When it resolves, no read that begins afterwards is answered with what was there before. */
  invalidate(what: Invalidation): Promise<void>

  /** cached() with this client. */
  cached<A extends unknown[], R>(fn: (...args: A) => R, options?: Omit<CachedOptions<A>, 'client'>):
    Cached<A, Awaited<R>>

  figures(): Figures
  /** When it resolves, all that was under way has ended and nothing is left open. */
  close(): Promise<void>
}

/** `code`: 'EUNAVAILABLE', 'ETIMEDOUT', 'EOVERLOADED', 'ESOURCE', 'EDENIED', 'ENOCLASS', … */
export class ForebayError extends Error {
  constructor(code: string, message: string)
  code: string
}

/** The function behind the cache: called once for all who ask for the same at the same time. */
export function cached<A extends unknown[], R>(fn: (...args: A) => R, options?: CachedOptions<A>):
  Cached<A, Awaited<R>>
