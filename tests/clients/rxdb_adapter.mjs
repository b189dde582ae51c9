// RxDB (replicateRxCollection) as a client of the protocol: one replication a collection, each over the feed of that
// collection alone. Documents are written whole, as RxDB has them; the server takes `answers` apart against `base`.
import { replicateRxCollection } from 'rxdb/plugins/replication'
import { Subject } from 'rxjs'
import { named, Problem, same } from './sync_http.mjs'
import { COLLECTIONS, only } from './documents.mjs'

/** One operation out of what RxDB wants written, or null where nothing of it is for the server. */
export function operation (device, name, was, now) {
  const { create, patch = [] } = COLLECTIONS[name]
  const op = { collection: name, id: now.id, kind: 'create', base_rev: was?.rev || null, at: now.edited_at ?? now.started_at }
  if (now._deleted) return named(device, { ...op, kind: 'delete' })
  if (!was || was._deleted || !was.rev) return named(device, { ...op, set: only(now, create) })
  const changed = patch.filter((field) => !same(was[field], now[field]))
  if (!changed.length) return null
  return named(device, { ...op, kind: 'patch', set: only(now, changed), base: only(was, changed) })
}

/**
 * Replicates one collection of the database. `kept` is what a phone must not lose whatever becomes of it:
 * `quarantine` (refused for good), `waiting` (received, not decided), by operation id.
 */
export function replicate (http, collection, kept, { batch = 50 } = {}) {
  const name = collection.name
  const stream = new Subject()
  const newest = new Map() // id → {doc, at}: a push's answer and a page of the pull may cross, and the later one counts
  let cursor = null
  let ticks = 0

  const master = (id, doc) => doc ? { ...doc, _deleted: false } : { id, rev: 0, _deleted: true }

  const pulled = (id, doc) => {
    const known = newest.get(id)?.doc
    const current = doc && known && known.rev > doc.rev ? known : doc
    newest.set(id, { doc: current, at: ++ticks })
    return master(id, current)
  }

  /** `since` is when the push was begun: what a pull has brought meanwhile is newer than "not yours to see". */
  const answered = (id, doc, since) => {
    const known = newest.get(id)
    const current = known?.doc && (doc ? known.doc.rev > doc.rev : known.at > since) ? known.doc : doc
    if (current) newest.set(id, { doc: current, at: known?.at ?? 0 })
    return master(id, current)
  }

  const settle = (op, { status, problem }) => {
    kept.waiting.delete(op.op_id)
    if (status === 'rejected' || status === 'superseded') kept.quarantine.set(op.op_id, { op, status, problem })
  }

  const pull = {
    batchSize: batch,
    stream$: stream.asObservable(),
    async handler (checkpoint, most) {
      cursor = checkpoint?.cursor ?? null
      const documents = new Map()
      for (;;) {
        let page
        try {
          page = await http.pull({ cursor, limit: most, collections: [name] })
        } catch (wrong) {
          if (!(wrong instanceof Problem) || wrong.body?.action !== 'resnapshot') throw wrong
          cursor = null // another history or an old cursor: the snapshot begins, the outbox stays
          continue
        }
        cursor = page.cursor
        for (const change of page.changes) documents.set(change.id, pulled(change.id, change.op === 'del' ? null : change.doc))
        // RxDB takes a batch shorter than batchSize for the last one
        if (!page.has_more || documents.size >= most) return { documents: [...documents.values()], checkpoint: { cursor } }
      }
    },
  }

  const push = {
    batchSize: batch,
    async handler (rows) {
      const ops = rows.map(({ newDocumentState: now, assumedMasterState: was }) => operation(http.device, name, was, now)).filter(Boolean)
      if (!ops.length) return []
      const since = ticks
      const { results } = await http.push(ops)
      if (results.some((result) => result.status === 'retry')) throw new Error('retry') // the same batch again: ids make that safe
      const masters = []
      for (const [i, result] of results.entries()) {
        const op = ops[i]
        if (result.status === 'deferred') {
          kept.waiting.set(op.op_id, op)
          await kept.look(op.op_id)
          if (op.kind === 'create') continue // it shows what was typed until it is decided
        } else {
          settle(op, result)
        }
        // RxDB drops what it pulls while a local write is under way, and never asks for it again: every answer must
        // therefore hand over the document as it stands now, and says "conflict" where it only means "take this"
        masters.push(answered(op.id, result.doc, since))
      }
      return masters
    },
  }

  const state = replicateRxCollection({
    collection, pull, ...(COLLECTIONS[name].create ? { push } : {}),
    replicationIdentifier: `campus-${http.device}`, deletedField: '_deleted', live: true, retryTime: 50, waitForLeadership: false,
  })
  return {
    state,
    settle,
    poke: () => stream.next('RESYNC'), // what a frame of the socket means
    /** A create that was refused after it had waited: the row goes, as if the feed had said so. */
    forget: (id) => stream.next({ documents: [{ id, rev: 0, _deleted: true }], checkpoint: { cursor } }),
  }
}

/** Actions (submit, join, resolve) are no documents: they wait in a collection that is only pushed. */
export function replicateActions (http, collection, kept) {
  const state = replicateRxCollection({
    collection, replicationIdentifier: `campus-actions-${http.device}`, live: true, retryTime: 50, waitForLeadership: false,
    push: {
      batchSize: 20,
      async handler (rows) {
        const ops = rows.map(({ newDocumentState: it }) => ({ op_id: it.id, collection: it.target, id: it.target_id, kind: 'action', action: it.action, args: it.args, at: it.at }))
        const { results } = await http.push(ops)
        if (results.some((result) => result.status === 'retry')) throw new Error('retry')
        for (const [i, result] of results.entries()) {
          if (result.status === 'deferred') {
            kept.waiting.set(ops[i].op_id, ops[i])
            await kept.look(ops[i].op_id)
          } else if (result.status !== 'applied' && result.status !== 'merged') {
            kept.quarantine.set(ops[i].op_id, { op: ops[i], status: result.status, problem: result.problem })
          }
        }
        return []
      },
    },
  })
  return { state, poke: () => {}, settle: () => {}, forget: () => {} }
}
