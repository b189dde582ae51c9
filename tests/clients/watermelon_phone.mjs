// A phone whose store is WatermelonDB on LokiJS, in memory: what an app would do with the adapter.
import wm from '@nozbe/watermelondb'
import loki from '@nozbe/watermelondb/adapters/lokijs/index.js'
import { COLLECTIONS } from './documents.mjs'
import { Phone } from './phone.mjs'
import { newId } from './sync_http.mjs'
import { columns, decode, encode, syncOnce, unsynced } from './watermelon_adapter.mjs'

const { appSchema, Database, Model, tableSchema } = wm
const LokiJSAdapter = loki.default ?? loki
for (const level of ['log', 'warn', 'error']) {
  const say = console[level]
  console[level] = (...words) => String(words[0]).includes('🍉') || say(...words) // its greetings
}

const text = (name) => ({ name, type: 'string', isOptional: true })
const table = (name, fields) => tableSchema({ name, columns: [{ name: 'rev', type: 'number' }, text('seen'), text('edited_at'), ...fields.map(text)] })
const schema = appSchema({ version: 1, tables: [...Object.keys(COLLECTIONS).map((name) => table(name, columns(name))), table('actions', ['target', 'target_id', 'action', 'args'])] })
const models = [...Object.keys(COLLECTIONS), 'actions'].map((name) => class extends Model { static table = name })

export class WatermelonPhone extends Phone {
  library = 'watermelondb'

  async open () {
    const adapter = new LokiJSAdapter({ schema, useWebWorker: false, useIncrementalIndexedDB: true, dbName: newId() })
    this.db = new Database({ adapter, modelClasses: models })
  }

  find (name, id) { return this.db.get(name).find(id).catch(() => null) }

  insert (name, doc) {
    const raw = { ...encode(name, doc), edited_at: new Date().toISOString() }
    return this.db.write(() => this.db.get(name).create((row) => set(row, raw)))
  }

  async change (name, id, modify) {
    const row = await this.find(name, id)
    if (!row) return false
    const raw = { ...encode(name, modify(decode(name, row._raw))), edited_at: new Date().toISOString() }
    await this.db.write(() => row.update((each) => set(each, raw)))
    return true
  }

  async remove (name, id) {
    const row = await this.find(name, id)
    if (!row) return
    const seen = row._raw.seen ? JSON.parse(row._raw.seen) : null
    await this.db.localStorage.set(`removed_${id}`, { base_rev: seen?.rev ?? null, at: new Date().toISOString() })
    await this.db.write(() => row.markAsDeleted())
  }

  act (target, targetId, action, args) {
    const raw = { id: newId(), target, target_id: targetId, action, args: JSON.stringify(args), edited_at: new Date().toISOString() }
    return this.db.write(() => this.db.get('actions').create((row) => set(row, raw)))
  }

  async get (name, id) { const row = await this.find(name, id); return row ? decode(name, row._raw) : undefined }
  async all (name) { return (await this.db.get(name).query().fetch()).map((row) => decode(name, row._raw)) }

  /** "Retry once" is Watermelon's own advice; the second turn brings in what the push of the first one made. */
  async sync () {
    const before = this.http.pushes
    await this.turn()
    if (this.http.pushes > before) await this.turn()
  }

  async turn (options = {}) {
    this.running = syncOnce(this.db, this.http, this.kept, options)
    await this.running.catch((wrong) => wrong.message === 'crash' || this.note('sync', wrong))
  }

  /** The app is killed, in the middle of an answer or between what the server did and what the store was told of it. */
  async restart (chance = 0) {
    this.http.dead = true
    await Promise.race([this.running?.catch(() => {}), new Promise((done) => setTimeout(done, 30))])
    this.http = this.http.reborn()
    await this.turn({ crash: chance < 0.5 ? 'pushed' : 'pulled' })
  }

  get busy () { return this.kept.waiting.size > 0 || this.left }
  async settle () { this.left = await unsynced(this.db) }
  async end () { this.http.dead = true }
}

function set (row, raw) {
  for (const [column, value] of Object.entries(raw)) {
    if (column === 'id') row._raw.id = value
    else row._setRaw(column, value)
  }
}
