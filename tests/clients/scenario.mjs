// One visit, a bad network, two or three phones. What is typed follows from the seed; what arrives when does not.
import { newId, same, sha256 } from './sync_http.mjs'

const ROUNDS = 60
const CODES = ['ST-11', 'ST-15', 'ST-05', 'WS-01', 'WS-02', 'WS-03']
const BANNED = 'SS-11' // no picture of this item may be taken
const RESULTS = [{ value: 'ok' }, { value: 'fail', grade: 'general' }, { value: 'fixed' }, { value: 'na' }, { value: 'unchecked' }]

export function random (seed) { // mulberry32
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6D2B79F5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  return { next, chance: (share) => next() < share, pick: (from) => from[Math.floor(next() * from.length)], upTo: (n) => 1 + Math.floor(next() * n) }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms))
const offline = (phones, is = true) => { for (const phone of phones) phone.http.offline = is }
const now = () => new Date().toISOString()

class Failed extends Error {}
const check = (holds, what) => { if (!holds) throw new Failed(what) }

/** Syncs all phones until nothing waits any more, nothing is sent any more, and all, who see the same, show the same. */
async function settle (phones, what) {
  let mirrors
  for (let round = 0; round < ROUNDS; round++) {
    const sent = phones.map((phone) => phone.http.pushes).join()
    await Promise.all(phones.map((phone) => phone.sync()))
    for (const phone of phones) await phone.settle?.()
    mirrors = await Promise.all(phones.map(async (phone) => ({ ...await phone.mirror(), sync_results: {} }))) // those are a person's own
    const still = !phones.some((phone) => phone.busy) && sent === phones.map((phone) => phone.http.pushes).join()
    if (still && mirrors.every((each) => same(each, mirrors[0]))) return
    if (phones.some((phone) => phone.kept.waiting.size)) await pause(150)
  }
  const waiting = phones.map((phone) => `${phone.label}: waiting ${JSON.stringify([...phone.kept.waiting.values()])} unsynced ${phone.left ?? ''} pushes ${phone.http.pushes}`)
  throw new Failed([`${what}: it never comes to rest`, ...waiting, ...apart(mirrors)].join('\n'))
}

/** In what these mirrors differ from the first one. */
function apart (mirrors) {
  const told = []
  for (const [name, docs] of Object.entries(mirrors[0])) {
    for (const [i, mirror] of mirrors.entries()) {
      const ids = new Set([...Object.keys(docs), ...Object.keys(mirror[name])])
      for (const id of ids) if (!same(docs[id], mirror[name][id])) told.push(`${name} ${id}: 0 has ${JSON.stringify(docs[id])}, ${i} has ${JSON.stringify(mirror[name][id])}`)
    }
  }
  return told
}

async function eventually (phones, question, what) {
  for (let round = 0; round < ROUNDS; round++) {
    if (await question()) return
    await Promise.all(phones.map((phone) => phone.sync()))
    await pause(20)
  }
  throw new Failed(what)
}

const visitOf = (world, more = {}) => ({
  id: newId(), rev: 0, state: 'draft', site_id: world.site, template_version_id: world.template, participants: [], started_at: now(), header: {}, answers: {}, ...more,
})

async function edit (phone, visit, luck) {
  const code = luck.pick(CODES)
  if (luck.chance(0.45)) await phone.answer(visit, code, { note: '' })
  else if (luck.chance(0.8)) await phone.answer(visit, code, luck.pick(RESULTS))
  else await phone.head(visit, luck.pick(['weather', 'summary', 'accompanied_by']))
}

/**
 * Plays one seed. `phones[0]` makes the visit; `world` is {site, template, participants}; `ask(name)` has the district
 * office do something. Throws where a phone shows something that the protocol forbids.
 */
export async function play ({ seed, phones, world, ask }) {
  const luck = random(seed)
  const [first, ...others] = phones
  for (const phone of phones) { await phone.open(); await phone.signIn() }

  // without a signal: a visit with answers, a second one, a quick hazard, photos before and after what they show
  offline(phones)
  const secret = `secret-${seed}-${newId()}`
  const colleague = phones.find((phone) => phone.person !== first.person)
  const joins = colleague && luck.chance(0.5)
  const visit = visitOf(world, joins ? { join_sha256: sha256(secret) } : { participants: phones.map((phone) => phone.person) })
  const doomed = visitOf(world, { participants: phones.map((phone) => phone.person) })
  const photo = { id: newId(), rev: 0, subject_collection: 'inspections', subject_id: visit.id, sha256: sha256(newId()), size_bytes: 1000 + seed, item_code: 'ST-15', taken_at: now() }
  const banned = { ...photo, id: newId(), sha256: sha256(newId()), item_code: BANNED }
  if (luck.chance(0.5)) await first.insert('photos', photo)
  await first.insert('inspections', visit)
  await first.insert('inspections', doomed)
  if (!await first.get('photos', photo.id)) await first.insert('photos', photo)
  await first.insert('photos', banned)
  await first.answer(visit.id, 'ST-11', { value: 'ok' })
  await first.answer(visit.id, 'ST-15', { note: '' })
  for (let i = luck.upTo(3); i; i--) await edit(first, visit.id, luck)
  const hazard = { id: newId(), rev: 0, site_id: world.site, kind: 'hazard', grade: 'general', place: `走廊${seed}`, text: first.remember(null, 'quick_hazards', first.word('hazard')) }
  await first.insert('quick_hazards', hazard)
  if (joins) await colleague.act('inspections', visit.id, 'join', { secret })

  // the signal is back; the colleague may be quicker than the visit, and an app may be killed at any moment
  offline(phones, false)
  if (luck.chance(0.5)) await Promise.all(others.map((phone) => phone.sync()))
  if (luck.chance(0.5)) {
    first.sync().catch(() => {})
    await pause(luck.next() * 120)
    await first.restart(luck.next())
  }
  await settle(phones, 'after the first contact')
  for (const phone of phones) {
    check((await phone.get('inspections', visit.id))?.rev > 0, `${phone.label} sees the visit that was made off-line`)
    check((await phone.get('photos', photo.id))?.state === 'declared', `${phone.label} sees the photo`)
    check((await phone.get('quick_hazards', hazard.id))?.rectification_id, `${phone.label} sees what became of the hazard`)
  }
  check(!await first.get('photos', banned.id), 'a photo that may not be taken is on no phone')
  check([...first.kept.quarantine.values()].some(({ problem }) => problem?.code === 'photo-banned'), 'and its refusal was told')

  // off-line again, on the same answers: different groups, the same group, anything
  offline(phones)
  const last = phones.at(-1)
  await first.answer(visit.id, 'ST-11', { note: '' })
  await last.answer(visit.id, 'ST-11', { value: 'fail', grade: 'general', place: '冷库' })
  await first.answer(visit.id, 'ST-15', { note: '' })
  await last.answer(visit.id, 'ST-15', { note: '' })
  await first.head(visit.id, 'summary')
  await last.head(visit.id, 'summary')
  await last.head(visit.id, 'weather')
  for (const phone of phones) for (let i = luck.upTo(3); i; i--) await edit(phone, visit.id, luck)
  offline(phones, false)
  for (let i = 0; i < 3; i++) {
    await Promise.all(phones.filter(() => luck.chance(0.7)).map((phone) => phone.sync()))
    if (luck.chance(0.5)) await edit(luck.pick(phones), visit.id, luck)
  }
  if (luck.chance(0.4)) await luck.pick(phones).restart(luck.next())
  await settle(phones, 'after the edits at the same time')
  const agreed = await Promise.all(phones.map((phone) => phone.get('inspections', visit.id)))
  for (const doc of agreed) check(JSON.stringify(doc.answers) === JSON.stringify(agreed[0].answers) && doc.rev === agreed[0].rev, 'all phones show the same visit')
  for (const phone of phones) {
    check((await phone.all('conflicts')).some((each) => each.target_id === visit.id && each.group === 'answers.ST-15.note'), `${phone.label} is shown the note that lost`)
  }

  // perhaps one of two values is chosen while somebody writes the same anew
  const early = luck.chance(0.5) && (await first.all('conflicts')).find((each) => each.group === 'answers.ST-15.note')
  if (early) {
    offline(phones)
    await first.act('conflicts', early.id, 'resolve', { pick: 'lost' })
    await last.answer(visit.id, 'ST-15', { note: '' })
    offline(phones, false)
    await last.sync()
    await settle(phones, 'after a choice')
  }

  // a value that is refused is told, put back, and holds nothing up
  const refused = first.word('refused')
  const was = (await first.get('inspections', visit.id)).answers['ST-05']
  await first.change('inspections', visit.id, (doc) => ({ ...doc, answers: { ...doc.answers, 'ST-05': { ...was, result: { value: 'banana', reason: refused } } } }))
  first.remember(visit.id, 'answers.ST-05.result', refused)
  await settle(phones, 'after a refusal')
  check(JSON.stringify([...first.kept.quarantine.values()]).includes(refused), 'a refused value is kept on the phone')
  check((await first.get('inspections', visit.id)).answers['ST-05']?.result?.value !== 'banana', 'a refused value is put back')
  const word = await first.answer(visit.id, 'ST-05', { value: 'ok' })
  await settle(phones, 'after the next edit')
  check(JSON.stringify(await last.get('inspections', visit.id)).includes(word) || JSON.stringify(await last.all('conflicts')).includes(word), 'the next edit arrives')

  // a draft is deleted; perhaps somebody writes in it meanwhile
  const writes = luck.chance(0.5)
  offline(phones)
  await first.remove('inspections', doomed.id)
  if (writes) await last.answer(doomed.id, 'ST-11', { note: '' })
  offline(phones, false)
  await settle(phones, 'after a deletion')
  const gone = await Promise.all(phones.map((phone) => phone.get('inspections', doomed.id)))
  for (const doc of gone) check(doc?.state === gone[0].state && (writes ? doc.state === 'draft' : doc.state === 'void'), `a deletion is seen by all, an edit is stronger (${doc?.state})`)

  // somebody loses their post while they work off-line, and gets it back
  const leaver = luck.pick(phones)
  const leavers = phones.filter((phone) => phone.person === leaver.person)
  offline(leavers)
  await leaver.answer(visit.id, 'WS-01', { note: '' })
  await ask('end_posts', leaver.person)
  if (luck.chance(0.3)) await leaver.answer(visit.id, 'WS-02', { note: '' })
  offline(leavers, false)
  await eventually(leavers, async () => (await Promise.all(leavers.map(async (phone) => !await phone.get('inspections', visit.id) && !await phone.get('quick_hazards', hazard.id)))).every(Boolean), 'loss of access takes the documents off the phone')
  await ask('give_posts', leaver.person)
  await eventually(leavers, async () => (await Promise.all(leavers.map((phone) => phone.get('inspections', visit.id)))).every(Boolean), 'regained access brings the documents back')

  // the visit is handed in by one, while another still writes, and perhaps hands in as well
  offline(phones)
  const hand = async (phone) => {
    const doc = await phone.get('inspections', visit.id)
    const answers = Object.fromEntries(Object.entries(doc.answers).map(([code, { result, note }]) => [code, { ...(result ? { result } : {}), note }]))
    await phone.act('inspections', visit.id, 'submit', { snapshot: JSON.stringify({ answers, photos: [{ sha256: photo.sha256, size: photo.size_bytes }] }), participants: [...new Set(phones.map((each) => each.person))], finished_at: now() })
  }
  await last.answer(visit.id, 'ST-15', { note: '' })
  await last.answer(visit.id, 'WS-03', { value: 'ok' })
  await hand(first)
  if (luck.chance(0.4)) await hand(last)
  offline(phones, false)
  await Promise.all([first.sync(), luck.chance(0.5) ? last.sync() : null])
  await settle(phones, 'after the submit')
  for (const phone of phones) check((await phone.get('inspections', visit.id)).state === 'submitted', `${phone.label} sees that it was handed in`)

  // one of the two values is chosen, and the record is set right
  const open = (await first.all('conflicts')).find((each) => !each.resolved_at)
  if (open) await first.act('conflicts', open.id, 'resolve', { pick: luck.pick(['kept', 'lost']) })
  await last.insert('submissions', { id: newId(), rev: 0, inspection_id: visit.id, kind: 'amendment', content: JSON.stringify({ answers: { 'ST-11': { note: last.remember(visit.id, 'submissions', last.word('amendment')) } } }), reason: '补充' })
  if (luck.chance(0.3)) await last.restart(luck.next())
  await settle(phones, 'at the end')
  if (open) check((await last.all('conflicts')).find((each) => each.id === open.id)?.resolved_at, 'what was chosen is seen by all')
  const reports = []
  for (const phone of phones) { reports.push(await phone.report()); await phone.end() }
  return reports
}
