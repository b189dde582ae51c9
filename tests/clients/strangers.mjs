// Plays seeds of the plan on standard input's first line, several at a time; prints a line of JSON for each.
//
//   {"parallel": 4, "runs": [{"seed": 1, "base": "http://127.0.0.1:…/api/v1", "phones": [{"library": "rxdb", "username": "…", "password": "…"}], "world": {…}}]}
//
// Where a run wants something of the district office it prints {"ask": …, "run": n} and waits for {"run": n}. A thread
// plays one seed at a time: RxDB opens no more than 16 collections in one.
import { createInterface } from 'node:readline'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { fileURLToPath } from 'node:url'

const say = (what) => process.stdout.write(JSON.stringify(what) + '\n')

async function lead () {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  const plan = JSON.parse((await lines.next()).value)
  const queue = plan.runs.map((run, number) => ({ run, number }))
  const playing = new Map() // number of a run → its thread
  const threads = Array.from({ length: Math.min(plan.parallel, queue.length) }, () => new Promise((done) => {
    const thread = new Worker(fileURLToPath(import.meta.url))
    const next = () => {
      const job = queue.shift()
      if (!job) { thread.terminate(); done(); return }
      playing.set(job.number, thread)
      thread.postMessage(job)
    }
    thread.on('message', (what) => { say(what); if (!what.ask) next() })
    thread.on('error', (wrong) => { console.error('a thread ended', wrong.stack ?? wrong); done() })
    next()
  }))
  ;(async () => { for await (const line of lines) { const { run } = JSON.parse(line); playing.get(run).postMessage({ told: run }) } })()
  await Promise.all(threads)
  process.exit(0)
}

async function follow () {
  const { RxdbPhone } = await import('./rxdb_phone.mjs')
  const { WatermelonPhone } = await import('./watermelon_phone.mjs')
  const { play } = await import('./scenario.mjs')
  const libraries = { rxdb: RxdbPhone, watermelondb: WatermelonPhone }
  let told = null
  process.on('unhandledRejection', (wrong) => console.error('unhandled', wrong?.stack ?? wrong))
  parentPort.on('message', async (job) => {
    if (job.told !== undefined) return told()
    const { run, number } = job
    const began = Date.now()
    const phones = run.phones.map(({ library, ...account }, i) => new libraries[library]({ base: run.base, label: `${'ABCDEF'[i]}${number}`, account }))
    const ask = (what, person) => new Promise((done) => { told = done; parentPort.postMessage({ ask: what, person, run: number }) })
    const seconds = () => (Date.now() - began) / 1000
    try {
      const reports = await play({ seed: run.seed, phones, world: run.world, ask })
      parentPort.postMessage({ run: number, seconds: seconds(), reports })
    } catch (wrong) {
      const errors = phones.flatMap((phone) => phone.errors.map((each) => `${phone.label} ${each}`)).slice(0, 20)
      for (const phone of phones) await phone.end().catch(() => {})
      parentPort.postMessage({ run: number, seconds: seconds(), failed: wrong.stack, errors })
    }
  })
}

if (isMainThread) await lead()
else await follow()
