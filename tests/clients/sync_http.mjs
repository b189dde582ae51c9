// HTTP as the protocol asks for it: retry with jitter, the guard against captive portals, operations with stable ids.
// No dependency beyond Node >= 20. Written from docs/protocol.md alone.
import { createHash, randomBytes } from 'node:crypto'

const TRIES = 12
const TIMEOUT_MS = 30_000
const sleep = (ms) => new Promise((done) => setTimeout(done, ms))

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')
export const canonical = (value) => {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value ?? null)
  return `{${Object.keys(value).sort().filter((key) => value[key] !== undefined).map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(',')}}`
}
export const same = (one, other) => canonical(one) === canonical(other)

/** A UUIDv7: 48 bits of this millisecond, then chance. */
export const newId = () => {
  const hex = Date.now().toString(16).padStart(12, '0') + randomBytes(10).toString('hex')
  const variant = '89ab'[parseInt(hex[16], 16) & 3]
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

/** Gives an operation an id that follows from all of its content: said again after a crash it is the same operation. */
export const named = (device, op) => {
  const hex = sha256(canonical([device, op]))
  return { op_id: `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`, ...op }
}

export class Problem extends Error {
  constructor (status, body) {
    super(`${status} ${body?.code ?? ''} ${body?.detail ?? ''}`)
    Object.assign(this, { status, code: body?.code, body })
  }

  get transient () { return this.status === 0 || [408, 423, 425, 429].includes(this.status) || this.status >= 500 }
}

export class SyncHttp {
  constructor ({ base, token, device, delay = 10 }) {
    Object.assign(this, { base, token, device, delay, offline: false, dead: false, calls: 0, retries: 0, pushes: 0 })
  }

  /** The same phone after its process was killed. */
  reborn () { return Object.assign(new SyncHttp(this), { calls: this.calls, retries: this.retries, pushes: this.pushes }) }

  /** Signs a phone in; gives {token, device: {id}, person: {id}}. */
  async login (username, password, name) {
    const signed = await this.call('POST', '/auth/login', { username, password, device: name }, { marked: false })
    this.token = signed.token
    this.device = signed.device.id
    return signed
  }

  pull ({ cursor, limit = 200, collections = [] }) {
    const query = new URLSearchParams({ limit: String(limit) })
    if (cursor) query.set('cursor', cursor)
    if (collections.length) query.set('collections', collections.join(','))
    return this.call('GET', `/sync/pull?${query}`)
  }

  push (ops) {
    this.pushes++
    return this.call('POST', '/sync/push', { protocol: 1, schema: 1, device_id: this.device, sent_at: new Date().toISOString(), ops })
  }

  async call (method, path, body, { marked = true } = {}) {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.once(method, path, body, marked)
      } catch (wrong) {
        if (!(wrong instanceof Problem) || !wrong.transient || this.offline || attempt >= TRIES) throw wrong
        this.retries++
        const most = Math.min(this.delay * 2 ** attempt, 500)
        await sleep((wrong.body?.retry_after ?? 0) * 1000 + Math.random() * most) // full jitter
      }
    }
  }

  async once (method, path, body, marked) {
    if (this.dead) return new Promise(() => {}) // the process has ended: nobody hears an answer any more
    if (this.offline) throw new Problem(0, { code: 'offline' })
    this.calls++
    let response, text
    try {
      response = await fetch(this.base + path, { method, body: body && JSON.stringify(body), signal: AbortSignal.timeout(TIMEOUT_MS), headers: this.headers(body) })
      text = await response.text()
    } catch (broken) {
      throw new Problem(0, { code: 'network', detail: String(broken.cause ?? broken) })
    }
    if (this.dead) return new Promise(() => {})
    // a captive portal answers 200 with a page: only what carries our header and is JSON is from the server
    const type = response.headers.get('content-type') ?? ''
    if (!/json/.test(type) || (marked && !response.headers.get('sync-protocol'))) {
      throw new Problem(0, { code: 'not-our-server', detail: `${response.status} ${type}` })
    }
    const data = JSON.parse(text)
    if (!response.ok) throw new Problem(response.status, data)
    return data
  }

  headers (body) {
    const headers = { 'sync-protocol': '1', 'sync-schema': '1', 'sync-sent-at': new Date().toISOString(), 'sync-app': 'stranger-1' }
    if (this.token) headers.authorization = `Bearer ${this.token}`
    if (this.device) headers['sync-device'] = this.device
    if (body) headers['content-type'] = 'application/json'
    return headers
  }
}
