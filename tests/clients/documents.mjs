// What the house's documents are, as docs/api.md and docs/pull.md tell it: which fields a phone may say of each
// collection, and what of a nested `answers` differs. One visit is one document.
import { same } from './sync_http.mjs'

/** Fields of the wire form, and those that `create` and `patch` take. Without `create` a collection only comes down. */
export const COLLECTIONS = {
  inspections: {
    wire: ['state', 'site_id', 'unit_id', 'template_version_id', 'task_id', 'creator_id', 'participants', 'started_at', 'finished_at', 'header', 'answers', 'flags', 'void_reason', 'submitted_by', 'submitted_at', 'snapshot_sha256'],
    create: ['site_id', 'template_version_id', 'started_at', 'participants', 'join_sha256', 'header', 'answers'],
    patch: ['header', 'answers'],
  },
  photos: {
    wire: ['subject_collection', 'subject_id', 'unit_id', 'item_code', 'rendition', 'original_id', 'sha256', 'size_bytes', 'mode', 'moment', 'taken_at', 'corrected_at', 'latitude', 'longitude', 'accuracy_m', 'datum', 'author_id', 'state'],
    create: ['subject_collection', 'subject_id', 'sha256', 'size_bytes', 'item_code', 'taken_at'],
  },
  quick_hazards: {
    wire: ['site_id', 'unit_id', 'inspection_id', 'item_code', 'kind', 'grade', 'place', 'text', 'fixed', 'author_id', 'said_at', 'rectification_id'],
    create: ['site_id', 'text', 'kind', 'grade', 'place'],
  },
  submissions: {
    wire: ['inspection_id', 'kind', 'author_id', 'reason', 'content', 'sha256', 'said_at'],
    create: ['inspection_id', 'kind', 'content', 'reason'],
  },
  conflicts: { wire: ['target_collection', 'target_id', 'group', 'kept', 'lost', 'kept_by', 'lost_by', 'lost_at', 'pick', 'resolved_by', 'resolved_at'] },
  sync_results: { wire: ['op_id', 'status', 'change_seq', 'problem', 'out_of_order'] },
}

/** Those of these fields that a document has. */
export const only = (doc, fields) => Object.fromEntries(fields.filter((field) => doc[field] !== undefined && doc[field] !== null).map((field) => [field, doc[field]]))

/** What `now` says otherwise than `base`, by group: {code: {result?, note?}}. */
export const changedAnswers = (base = {}, now = {}) => {
  const changed = {}
  for (const [code, answer] of Object.entries(now)) {
    for (const group of ['result', 'note']) {
      if (answer[group] !== undefined && !same(answer[group] ?? null, base[code]?.[group] ?? (group === 'note' && answer.note === '' ? '' : null))) {
        (changed[code] ??= {})[group] = answer[group]
      }
    }
  }
  return changed
}

/** What `now` says otherwise than `base`, by member. */
export const changedMembers = (base = {}, now = {}) => Object.fromEntries(Object.entries(now).filter(([key, value]) => !same(value, base[key] ?? null)))

/** The server's answers with what was typed here since `base` laid over them. */
export const laidOver = (base, mine, theirs) => {
  const merged = structuredClone(theirs ?? {})
  for (const [code, groups] of Object.entries(changedAnswers(base, mine))) merged[code] = { result: null, note: '', ...merged[code], ...groups }
  return merged
}
