// What every phone of the scenarios does, whatever its store: it signs in, types, and remembers what was typed, so that
// afterwards somebody can look for each word.
import { COLLECTIONS } from './documents.mjs'
import { SyncHttp } from './sync_http.mjs'

export class Phone {
  constructor ({ base, label, account }) {
    this.label = label
    this.account = account
    this.http = new SyncHttp({ base })
    this.kept = { quarantine: new Map(), waiting: new Map() }
    this.typed = [] // {id, group, word, over}: each word is unlike any other
    this.errors = []
    this.devices = []
    this.count = 0
  }

  async signIn () {
    while (!this.person) { // a person tries again and again
      try {
        const { person, device } = await this.http.login(this.account.username, this.account.password, `${this.label} (${this.library})`)
        this.person = person.id
        this.devices.push({ device: device.id })
      } catch (wrong) {
        if (!wrong.transient) throw wrong
      }
    }
  }

  note (where, wrong) {
    const text = `${where}: ${wrong?.parameters?.errors?.[0]?.message ?? wrong?.message ?? wrong}`
    if (!/ (offline|network|not-our-server|busy|server-error) /.test(` ${text} `)) this.errors.push(text.slice(0, 300))
  }

  word (what) { return `${what}·${this.label}·${++this.count}` }

  remember (id, group, word, over = null) {
    this.typed.push({ id, group, word, over })
    return word
  }

  /** Types a note, or a result with its reason, into an answer that is on the screen. */
  async answer (visit, code, { note, ...result }) {
    const group = note === undefined ? 'result' : 'note'
    const word = this.word(`${code}.${group}`)
    let over = null
    const done = await this.change('inspections', visit, (doc) => {
      const before = doc.answers?.[code] ?? { result: null, note: '' }
      over = group === 'note' ? before.note || null : before.result?.reason || null
      const said = group === 'note' ? { note: `${note}${word}` } : { result: { ...result, reason: word } }
      return { ...doc, answers: { ...doc.answers, [code]: { ...before, ...said } } }
    })
    if (done) this.remember(visit, `answers.${code}.${group}`, word, over)
    return done ? word : null
  }

  async head (visit, field) {
    const word = this.word(`header.${field}`)
    let over = null
    const done = await this.change('inspections', visit, (doc) => {
      over = doc.header?.[field] ?? null
      return { ...doc, header: { ...doc.header, [field]: word } }
    })
    if (done) this.remember(visit, `header.${field}`, word, over)
  }

  get busy () { return this.kept.waiting.size > 0 }

  /** Everything that the store holds as the server's, as plain documents. */
  async mirror () {
    const found = {}
    for (const [name, { wire }] of Object.entries(COLLECTIONS)) {
      found[name] = {}
      for (const doc of await this.all(name)) {
        found[name][doc.id] = Object.fromEntries(['id', 'rev', ...wire].map((field) => [field, doc[field]]))
      }
    }
    return found
  }

  async report () {
    return {
      label: this.label, library: this.library, person: this.person, token: this.http.token, devices: this.devices, typed: this.typed, errors: this.errors,
      mirror: await this.mirror(),
      quarantine: [...this.kept.quarantine.values()],
      waiting: [...this.kept.waiting.values()],
      http: { calls: this.http.calls, retries: this.http.retries },
    }
  }
}
