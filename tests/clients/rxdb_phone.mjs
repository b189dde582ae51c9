// A phone whose store is RxDB: what an app would do with the adapter.
import { createRxDatabase } from 'rxdb/plugins/core'
import { getRxStorageMemory } from 'rxdb/plugins/storage-memory'
import { COLLECTIONS } from './documents.mjs'
import { Phone } from './phone.mjs'
import { replicate, replicateActions } from './rxdb_adapter.mjs'
import { newId } from './sync_http.mjs'

const schema = (fields) => ({
  version: 0, primaryKey: 'id', type: 'object', required: ['id'],
  properties: { id: { type: 'string', maxLength: 64 }, rev: { type: 'number' }, edited_at: { type: 'string' }, ...Object.fromEntries(fields.map((field) => [field, {}])) },
})
const SCHEMAS = {
  ...Object.fromEntries(Object.entries(COLLECTIONS).map(([name, { wire, create = [] }]) => [name, { schema: schema([...new Set([...wire, ...create])]) }])),
  actions: { schema: schema(['target', 'target_id', 'action', 'args', 'at']) },
}

export class RxdbPhone extends Phone {
  library = 'rxdb'

  async open () {
    // the memory storage keeps what it holds under the database's name until the process ends
    this.name ??= `c${newId().replaceAll('-', '')}`
    this.db = await createRxDatabase({ name: this.name, storage: getRxStorageMemory(), multiInstance: false })
    await this.db.addCollections(structuredClone(SCHEMAS))
    this.replications = null
    this.kept.look = (opId) => this.lookForResult(opId)
    if (this.http.token) this.replicateAll()
  }

  replicateAll () {
    this.replications = {}
    for (const name of Object.keys(SCHEMAS)) {
      const start = name === 'actions' ? replicateActions : replicate
      this.replications[name] = start(this.http, this.db[name], this.kept)
      this.replications[name].state.error$.subscribe((wrong) => this.note(name, wrong))
    }
    this.db.sync_results.$.subscribe((event) => this.decided(event.documentData))
  }

  async lookForResult (opId) {
    const found = await this.db.sync_results.findOne(opId).exec()
    if (found) this.decided(found.toJSON())
  }

  /** The verdict of what had waited came with the feed. */
  decided (result) {
    const op = this.kept.waiting.get(result.op_id)
    if (!op) return
    const replication = this.replications[op.kind === 'action' ? 'actions' : op.collection]
    this.kept.waiting.delete(op.op_id)
    if (result.status === 'rejected' || result.status === 'superseded') {
      this.kept.quarantine.set(op.op_id, { op, status: result.status, problem: result.problem })
      if (op.kind === 'create') replication.forget(op.id)
    }
  }

  insert (name, doc) { return this.db[name].insert({ ...doc, edited_at: new Date().toISOString() }) }

  async change (name, id, modify) {
    const doc = await this.db[name].findOne(id).exec()
    if (!doc) return false
    await doc.incrementalModify((now) => ({ ...modify(now), edited_at: new Date().toISOString() }))
    return true
  }

  async remove (name, id) {
    if (await this.change(name, id, (now) => now)) await (await this.db[name].findOne(id).exec())?.incrementalRemove()
  }

  act (target, targetId, action, args) {
    return this.db.actions.insert({ id: newId(), target, target_id: targetId, action, args, at: new Date().toISOString() })
  }

  async get (name, id) { return (await this.db[name].findOne(id).exec())?.toMutableJSON() }
  async all (name) { return (await this.db[name].find().exec()).map((doc) => doc.toMutableJSON()) }

  /** Asks one feed of all collections what has moved, as a socket's poke would tell, and has those alone look. */
  async sync () {
    if (!this.replications) this.replicateAll()
    const replications = Object.values(this.replications)
    await Promise.all(replications.map((each) => each.state.awaitInSync()))
    try {
      const page = await this.http.pull({ cursor: this.bell, limit: 1000, collections: Object.keys(COLLECTIONS) })
      const moved = new Set(page.changes.map((change) => change.collection))
      for (const name of moved) this.replications[name].poke()
      await Promise.all(replications.map((each) => each.state.awaitInSync()))
      if (!this.http.dead) this.bell = page.cursor
    } catch (wrong) {
      this.note('bell', wrong)
    }
  }

  /** The app is killed, whatever is on the way, and opened again on what it had stored. */
  async restart () {
    this.http.dead = true
    for (const each of Object.values(this.replications ?? {})) each.state.cancel()
    await this.db.close()
    this.http = this.http.reborn()
    await this.open()
  }

  async end () {
    this.http.dead = true
    for (const each of Object.values(this.replications ?? {})) each.state.cancel()
    await this.db.close()
  }
}
