// WatermelonDB (synchronize()) as a client of the protocol: one feed for all tables, whole visits in a row.
//
// Nested members lie in text columns as JSON. Two columns are ours: `seen`, the document as it was on the screen when
// it was last in step with the server, against which an edit is told; and `edited_at`.
import wmSync from '@nozbe/watermelondb/sync/index.js'
import { named, newId, Problem } from './sync_http.mjs'
import { changedAnswers, changedMembers, COLLECTIONS, laidOver, only } from './documents.mjs'

const { synchronize, hasUnsyncedChanges } = wmSync
export const unsynced = (database) => hasUnsyncedChanges({ database })
export const columns = (name) => [...new Set([...COLLECTIONS[name].wire, ...(COLLECTIONS[name].create ?? [])])]
export const decode = (name, raw) => ({ id: raw.id, rev: raw.rev, ...Object.fromEntries(columns(name).map((column) => [column, raw[column] === null || raw[column] === undefined ? null : JSON.parse(raw[column])])) })
export const encode = (name, doc) => ({ id: doc.id, rev: doc.rev ?? 0, ...Object.fromEntries(columns(name).map((column) => [column, doc[column] === null || doc[column] === undefined ? null : JSON.stringify(doc[column])])) })
const seenIn = (raw) => raw.seen ? JSON.parse(raw.seen) : null

/** One operation out of a changed row, or null where nothing of it is for the server. */
export function operation (device, name, raw, kind) {
  const now = decode(name, raw), seen = seenIn(raw)
  const op = { collection: name, id: raw.id, kind, base_rev: seen?.rev ?? null, at: raw.edited_at }
  if (kind === 'delete') return named(device, op)
  if (kind === 'create') return named(device, { ...op, set: only(now, COLLECTIONS[name].create ?? []) })
  if (!COLLECTIONS[name].patch) return null
  const set = { header: changedMembers(seen?.header, now.header ?? {}), answers: changedAnswers(seen?.answers, now.answers ?? {}) }
  return Object.keys(set.header).length + Object.keys(set.answers).length ? named(device, { ...op, set }) : null
}

/**
 * Watermelon's own rule is "my column wins": a whole `answers` column would put a colleague's work back. What was typed
 * here is laid over what came; what it was typed against stays, so that the server can tell a conflict.
 */
function conflictResolver (table, local, remote, resolved) {
  if (local._status === 'synced' || local._status === 'deleted' || table === 'actions') return resolved
  const mine = decode(table, local), theirs = decode(table, remote), seen = seenIn(local) ?? {}
  const typed = table !== 'inspections' ? {} : {
    answers: JSON.stringify(laidOver(seen.answers, mine.answers, theirs.answers)),
    header: JSON.stringify({ ...theirs.header, ...changedMembers(seen.header, mine.header ?? {}) }),
  }
  return { ...resolved, ...remote, ...typed, id: local.id, seen: local.seen, edited_at: local.edited_at, _status: local._status, _changed: local._changed }
}

/** One turn: pull, then push. `kept` is what must not be lost: `quarantine` and `waiting`, by operation id. */
export async function syncOnce (database, http, kept, { crash = '' } = {}) {
  const store = database.localStorage
  const find = async (table, id) => { try { return (await database.get(table).find(id))._raw } catch { return null } }

  const hear = (op, result, repairs, { decided = false } = {}) => {
    if (result.status === 'deferred') { kept.waiting.set(op.op_id, op); return }
    kept.waiting.delete(op.op_id)
    if (result.status === 'rejected' || result.status === 'superseded') kept.quarantine.set(op.op_id, { op, status: result.status, problem: result.problem })
    if (op.kind === 'action' || (decided && result.status !== 'rejected')) return
    // what was said again moved nothing and does not come with the feed: the row is what the answer shows, or gone
    repairs.push(result.doc ? { collection: op.collection, id: op.id, op: 'put', doc: result.doc } : { collection: op.collection, id: op.id, op: 'del', reason: 'refused' })
  }

  const pages = async (cursor) => {
    let rows = new Map(), replace = false
    for (;;) {
      let page
      try {
        page = await http.pull({ cursor, limit: 200 })
      } catch (wrong) {
        if (!(wrong instanceof Problem) || wrong.body?.action !== 'resnapshot') throw wrong
        cursor = null; rows = new Map(); replace = true
        continue
      }
      cursor = page.cursor
      for (const change of page.changes) if (COLLECTIONS[change.collection]) rows.set(`${change.collection}/${change.id}`, change) // one entry an id, the last wins
      if (!page.has_more) return { rows, cursor, seq: page.seq, replace }
    }
  }

  /** Watermelon destroys a row that is gone from the feed also where work on it was never sent: send it first. */
  const salvage = async (gone, repairs) => {
    const ops = []
    for (const { collection, id } of gone) {
      const raw = await find(collection, id)
      if (!raw || raw._status === 'synced') continue
      const op = operation(http.device, collection, raw, raw._status === 'created' ? 'create' : 'patch')
      if (op) ops.push(op)
    }
    if (!ops.length) return
    const { results } = await http.push(ops)
    if (results.some((result) => result.status === 'retry')) throw new Error('retry')
    results.forEach((result, i) => hear(ops[i], result, repairs))
  }

  await synchronize({
    database, sendCreatedAsUpdated: true, conflictResolver,
    async pullChanges ({ lastPulledAt }) {
      // Watermelon commits lastPulledAt with the rows; what is kept beside it is found by that number,
      // so a crash between the two is a repeat
      const cursor = lastPulledAt ? await store.get(`cursor_${lastPulledAt}`) ?? null : null
      const { rows, cursor: next, seq, replace } = await pages(cursor)
      const repairs = await store.get(`repairs_${lastPulledAt}`) ?? []
      await salvage([...rows.values()].filter((change) => change.op === 'del'), repairs)
      for (const change of rows.values()) {
        const op = change.collection === 'sync_results' && kept.waiting.get(change.id)
        if (op) hear(op, change.doc, repairs, { decided: true })
      }
      for (const each of repairs) {
        const there = rows.get(`${each.collection}/${each.id}`)
        if (!there) rows.set(`${each.collection}/${each.id}`, each)
      }
      const changes = Object.fromEntries(Object.keys(COLLECTIONS).map((name) => [name, { created: [], updated: [], deleted: [] }]))
      for (const { collection, id, op, doc } of rows.values()) {
        if (op === 'del') changes[collection].deleted.push(id)
        else changes[collection].updated.push({ ...encode(collection, doc), seen: JSON.stringify(doc), edited_at: null })
      }
      await store.set(`cursor_${seq}`, next)
      if (crash === 'pulled') throw new Error('crash')
      return { changes, timestamp: seq, ...(replace || (lastPulledAt && !cursor) ? { experimentalStrategy: 'replacement' } : {}) }
    },
    async pushChanges ({ changes, lastPulledAt }) {
      const ops = []
      for (const name of Object.keys(COLLECTIONS)) {
        for (const raw of changes[name]?.created ?? []) ops.push(operation(http.device, name, raw, 'create'))
        for (const raw of changes[name]?.updated ?? []) ops.push(operation(http.device, name, raw, raw.rev ? 'patch' : 'create'))
        for (const id of changes[name]?.deleted ?? []) ops.push(named(http.device, { collection: name, id, kind: 'delete', ...await store.get(`removed_${id}`) }))
      }
      for (const raw of changes.actions?.created ?? []) {
        ops.push({ op_id: raw.id, collection: raw.target, id: raw.target_id, kind: 'action', action: raw.action, args: JSON.parse(raw.args), at: raw.edited_at })
      }
      const repairs = [], again = {}
      const wanted = ops.filter(Boolean)
      for (let i = 0; i < wanted.length; i += 50) {
        const batch = wanted.slice(i, i + 50)
        const { results } = await http.push(batch)
        results.forEach((result, j) => {
          const op = batch[j]
          if (result.status === 'retry') (again[op.kind === 'action' ? 'actions' : op.collection] ??= []).push(op.kind === 'action' ? op.op_id : op.id)
          else hear(op, result, repairs)
        })
      }
      await store.set(`repairs_${lastPulledAt}`, repairs)
      if (crash === 'pushed') throw new Error('crash')
      return { experimentalRejectedIds: again }
    },
  })
}

export { newId }
