// tus-js-client against the upload door: in chunks, with the first bytes in the creation, going on after a crash, in
// parts, taken back. What it brings are photographs that lie in files; what is there afterwards others look at.
//
// The first line of standard input: {"parallel": 4, "runs": [{"seed": 1, "base": "…/api/v1", "token": "…", "photos": ["…jpg", …]}]}
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import * as tus from 'tus-js-client'
import { random } from './scenario.mjs'
import { sha256 } from './sync_http.mjs'

const TRIES = Array(80).fill(10)
const CHUNK = 32 * 1024
const SILENT_MS = 8000
const say = (what) => process.stdout.write(JSON.stringify(what) + '\n')

/**
 * tus-js-client gives up on every 4xx but 409 and 423, and takes a page of a captive portal for a faulty server: the
 * policy is the app's to state. 404 and 410 on an upload's own address mean that it must be begun anew.
 */
const again = (wrong) => {
  const status = wrong.originalResponse?.getStatus() ?? 0
  return status < 400 || [408, 409, 423, 429, 460].includes(status) || status >= 500
}

/**
 * Under Node, tus-js-client waits for ever for the rest of an answer whose line was cut. Who is silent for too long is
 * begun again where it was; one that is sent in parts is given up, for it does not begin again after an abort.
 */
function bring (run, bytes, more = {}) {
  return new Promise((resolve, reject) => {
    let heardAt = Date.now()
    const heard = () => { heardAt = Date.now() }
    const watch = setInterval(() => {
      if (Date.now() - heardAt < SILENT_MS) return
      heard()
      upload.abort()
      if (more.parallelUploads) done(reject)(new Error('silent'))
      else upload.start()
    }, 500)
    const done = (settle) => (outcome) => { clearInterval(watch); settle(outcome) }
    const upload = new tus.Upload(bytes, {
      endpoint: `${run.base}/files`, headers: { Authorization: `Bearer ${run.token}` }, chunkSize: CHUNK, retryDelays: TRIES,
      storeFingerprintForResuming: false, onShouldRetry: again, onBeforeRequest: heard, onAfterResponse: heard,
      metadata: { filename: 'photo.jpg', filetype: 'image/jpeg', sha256: sha256(bytes) },
      // a failing HEAD would begin a new upload at byte 0, as long as there is an endpoint to begin it at
      onUploadUrlAvailable () { if (!more.parallelUploads) upload.options.endpoint = null },
      onError: done(reject), onSuccess: () => done(resolve)(upload),
      ...more,
    })
    more.hold?.(upload, () => clearInterval(watch))
    upload.start()
  })
}

async function takeBack (upload) {
  const { headers, httpStack } = upload.options
  const ended = tus.Upload.terminate(upload.url, { headers, httpStack, retryDelays: TRIES, onShouldRetry: again }).then(() => true, (wrong) => {
    if (wrong.originalResponse?.getStatus() !== 404) throw wrong // the answer to a first try was lost: it is gone
    return true
  })
  const silent = new Promise((done) => setTimeout(done, SILENT_MS, false))
  if (!await Promise.race([ended, silent])) await takeBack(upload)
}

/** The app is killed when some of it has gone; another process knows the address and nothing else. */
async function crashAndGoOn (run, bytes, luck) {
  const until = Math.floor(bytes.length * luck.next() * 0.8)
  const url = await new Promise((resolve, reject) => {
    let upload, forget
    bring(run, bytes, {
      hold (...it) { [upload, forget] = it },
      onChunkComplete (size, sent) { if (sent >= until) { forget(); upload.abort().then(() => resolve(upload.url)) } },
    }).then((whole) => resolve(whole.url), reject)
  })
  return bring(run, bytes, { uploadUrl: url, endpoint: null })
}

async function play (run) {
  const luck = random(run.seed)
  const [chunks, whole, crashed, parts, taken] = run.photos.map((path) => readFileSync(path))
  await bring(run, chunks)
  await bring(run, whole, { uploadDataDuringCreation: true, chunkSize: Infinity })
  await crashAndGoOn(run, crashed, luck)
  await bring(run, parts, { parallelUploads: 2, metadataForPartialUploads: {} }).catch((wrong) => {
    // tus-js-client does not repeat the joining of the parts when its answer is lost; if it was done, the bytes are known
    if (wrong.originalResponse) throw wrong
    return bring(run, parts)
  })
  await takeBack(await bring(run, taken))
  const known = await bring(run, chunks) // what is there already is not sent again
  return { born: known.url }
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const plan = JSON.parse((await lines.next()).value)
const queue = plan.runs.map((run, number) => [run, number])
await Promise.all(Array.from({ length: plan.parallel }, async () => {
  for (let job = queue.shift(); job; job = queue.shift()) {
    const [run, number] = job
    const began = Date.now()
    try {
      say({ run: number, reports: [await play(run)], seconds: (Date.now() - began) / 1000 })
    } catch (wrong) {
      say({ run: number, failed: wrong.stack ?? String(wrong), seconds: (Date.now() - began) / 1000 })
    }
  }
}))
process.exit(0)
