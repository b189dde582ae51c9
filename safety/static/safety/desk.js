// The duty officer's queue: alerts come by the desk's socket, the waiting list first, then each one that moves.
// The table on the server holds; losing the socket loses nothing, for connecting again brings the whole list.

const OPEN = ["waiting", "acknowledged", "in_hand"]
const WORDS = {
  waiting: "待签收", acknowledged: "已签收", in_hand: "处置中",
  resolved: "办结", false_alarm: "误报", withdrawn: "已撤销", linked: "已并入",
}
const SEVERITIES = { major: "重大", incident: "事件", system: "值守" }
const GROUPS = [
  ["pin", ""], ["waiting", "待签收"], ["acknowledged", "已签收"], ["in_hand", "处置中"], ["over", "刚刚结束"],
]
const LINGER = 10_000 // an ended one stays in sight this long
const SILENCE = 40_000 // beats come every 15 s
const LATE = 600 // seconds between finding and telling, from which on it is said
const SIGNED_OUT = 4401, NOT_YOURS = 4403

const $ = (selector, within = document) => within.querySelector(selector)
const queue = $("#queue"), groups = $("#groups"), live = $("#live"), notice = $("#notice"), said = $("#said")
const skew = Date.parse(queue.dataset.now) - Date.now() // the server's clock counts
const now = () => Date.now() + skew

const alerts = new Map() // id → {alert, row, endedAt}
const lists = new Map(GROUPS.map(([key, title]) => [key, makeGroup(key, title)]))
let socket = null, heardAt = 0, tries = 0, nextTry = 0, timer = 0, stopped = false

// ---- words

// the school's clock, wherever the browser thinks it is
const parts = (moment) => Object.fromEntries(
  new Intl.DateTimeFormat("zh-CN", {
    timeZone: "Asia/Shanghai", month: "numeric", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
  }).formatToParts(new Date(moment)).map(({ type, value }) => [type, value]))

function clock(moment) {
  const then = parts(moment), today = parts(now()), time = `${then.hour}:${then.minute}`
  return then.month === today.month && then.day === today.day ? time : `${then.month}月${then.day}日 ${time}`
}

function span(ms, exact = false) {
  const seconds = Math.max(0, Math.floor(ms / 1000)), minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60)
  if (hours >= 168) return `${Math.floor(hours / 24)} 天`
  if (hours >= 24) return hours % 24 ? `${Math.floor(hours / 24)} 天 ${hours % 24} 小时` : `${hours / 24} 天`
  if (hours) return minutes % 60 ? `${hours} 小时 ${minutes % 60} 分` : `${hours} 小时`
  if (!minutes) return `${seconds} 秒`
  return exact ? `${minutes} 分 ${seconds % 60} 秒` : `${minutes} 分`
}

const rough = (ms) => ms >= 7_200_000 ? span(Math.floor(ms / 3_600_000) * 3_600_000) : span(ms)

// a sentence may begin with the school and the site, which stand above it already
function whatWords({ sentence, school, site }) {
  for (const name of [school.name, site?.name])
    for (const mark of [" · ", "·", "：", ":"])
      if (name && sentence.startsWith(name + mark)) sentence = sentence.slice(name.length + mark.length)
  return sentence
}

const siteWords = ({ school, site }) =>
  site?.name.startsWith(school.name) && site.name !== school.name ? site.name.slice(school.name.length) : site?.name ?? ""

function lateWords(alert) {
  const fixed = { true: "已整改", false: "未整改" }[alert.fixed_since] ?? "是否已整改未说明"
  return `发现于 ${rough(now() - Date.parse(alert.first_said_at))}前 · ${fixed}`
}

function toldWords(alert) {
  const people = new Map()
  for (const each of alert.deliveries)
    people.set(each.person.id, people.get(each.person.id) || ["arrived", "opened"].includes(each.state))
  if (!people.size) return "还没有通知到任何人"
  const reached = [...people.values()].filter(Boolean).length
  return `通知 ${people.size} 人，到达 ${reached} 人`
}

function endWords(alert) {
  if (alert.acknowledged) return `${alert.acknowledged.person.name} ${clock(alert.acknowledged.received_at)} 签收`
  if (alert.state !== "waiting") return ""
  if (!alert.escalate_at) return "已告知到最后一级"
  const left = Date.parse(alert.escalate_at) - now()
  return left > 0 ? `${span(left, true)}后升级` : "正在升级"
}

// ---- rows

function makeGroup(key, title) {
  const section = $("#group").content.cloneNode(true).firstElementChild
  section.dataset.group = key
  section.hidden = true
  const heading = $("h2", section)
  if (title) {
    const count = document.createElement("span")
    count.className = "n num"
    heading.append(title, count)
  } else heading.hidden = true
  groups.append(section)
  return section
}

const groupOf = ({ alert }) =>
  !OPEN.includes(alert.state) ? "over"
    : alert.state === "waiting" && alert.severity === "major" ? "pin" : alert.state

function makeRow(id) {
  const row = $("#row").content.cloneNode(true).firstElementChild
  row.dataset.id = id
  $(".btn", row).addEventListener("click", () => press(id))
  $(".btn", row).addEventListener("blur", () => unsure(row))
  return row
}

function fill(entry) {
  const { alert, row } = entry, group = groupOf(entry)
  const state = OPEN.includes(alert.state) ? alert.state : "over"
  row.className = `row ${alert.severity}${group === "pin" ? " pin" : ""}`
  row.dataset.state = state
  $(".band use", row).setAttribute("href", "#s-major")
  $(".band .word", row).textContent = "重大·待签收"
  $(".school", row).textContent = alert.school.name
  $(".site", row).textContent = siteWords(alert)
  $(".what", row).textContent = whatWords(alert)
  $(".mark-state use", row).setAttribute("href", `#s-${state}`)
  $(".mark-state .word", row).textContent = WORDS[alert.state]
  $(".severity", row).textContent = SEVERITIES[alert.severity]
  $(".late", row).hidden = alert.late_seconds < LATE
  $(".times", row).hidden = alert.occurrences < 2
  $(".times", row).textContent = `又报 ${alert.occurrences - 1} 次`
  $(".told", row).textContent = toldWords(alert)
  $(".ladder", row).hidden = group !== "pin" || !alert.escalate_at
  $(".act", row).hidden = alert.state !== "waiting"
  tickRow(entry)
}

function tickRow({ alert, row }) {
  const known = Date.parse(alert.first_known_at), pinned = row.classList.contains("pin")
  for (const age of row.querySelectorAll(".age")) age.textContent = span(now() - known, pinned)
  if (alert.late_seconds >= LATE) $(".late", row).textContent = lateWords(alert)
  $(".end", row).textContent = endWords(alert)
  if (pinned && alert.escalate_at) {
    const whole = Date.parse(alert.escalate_at) - known
    $("progress", row).value = Math.min(100, 100 * (now() - known) / Math.max(1, whole))
    $(".ladder", row).setAttribute("aria-label", `距升级：${endWords(alert)}`)
  }
}

function arrange() {
  const grouped = new Map(GROUPS.map(([key]) => [key, []]))
  for (const entry of alerts.values()) grouped.get(groupOf(entry)).push(entry)
  for (const [key, entries] of grouped) {
    const section = lists.get(key), list = $("ul", section)
    entries.sort((a, b) => a.alert.first_known_at < b.alert.first_known_at ? -1 : 1)
    entries.forEach(({ row }, n) => { if (list.children[n] !== row) list.insertBefore(row, list.children[n] ?? null) })
    section.hidden = !entries.length
    const count = $("h2 .n", section)
    if (count) count.textContent = entries.length
  }
  const waiting = [...alerts.values()].filter(({ alert }) => alert.state === "waiting").length
  const open = [...alerts.values()].filter(({ alert }) => OPEN.includes(alert.state)).length
  $("#counts").textContent = open ? `未办结 ${open} · 待签收 ${waiting}` : ""
  $("#empty").hidden = alerts.size > 0 || !heardAt
  document.title = `${waiting ? `（${waiting} 待签收）` : ""}值班队列 · 校安巡检`
}

function take(alert) {
  const entry = alerts.get(alert.id) ?? { row: makeRow(alert.id) }
  if (entry.alert && alert.rev < entry.alert.rev) return
  const isNew = !entry.alert
  entry.alert = alert
  if (!OPEN.includes(alert.state)) {
    if (isNew) return
    entry.endedAt ??= Date.now()
  } else delete entry.endedAt
  alerts.set(alert.id, entry)
  fill(entry)
  if (isNew && alert.state === "waiting")
    said.textContent = `新预警，${SEVERITIES[alert.severity]}：${alert.school.name}，${whatWords(alert)}`
}

function drop(id) {
  alerts.get(id)?.row.remove()
  alerts.delete(id)
}

// ---- acknowledging

function unsure(row) {
  const button = $(".btn", row)
  button.classList.remove("sure")
  $("b", button).textContent = "签收"
  $("span", button).textContent = "我已知道，停止升级"
}

function press(id) {
  const { alert, row } = alerts.get(id), button = $(".btn", row)
  if (alert.severity === "major" && !button.classList.contains("sure")) {
    button.classList.add("sure")
    $("b", button).textContent = "再按一次，确认签收"
    $("span", button).textContent = `${alert.school.name} ${siteWords(alert)} · 第 ${alert.rev} 版`
    return
  }
  acknowledge(id)
}

async function acknowledge(id) {
  const { row } = alerts.get(id), button = $(".btn", row), wrong = $(".wrong", row)
  if (button.getAttribute("aria-busy") === "true") return
  button.setAttribute("aria-busy", "true")
  wrong.hidden = true
  try {
    const answer = await fetch(`/api/v1/alerts/${id}/acknowledge`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": cookie("csrftoken") },
      body: "{}",
    })
    if (!answer.ok) throw new Error((await answer.json()).detail)
    const { rev, state } = await answer.json()
    const entry = alerts.get(id)
    if (entry && rev >= entry.alert.rev) {
      entry.alert = { ...entry.alert, rev, state }
      fill(entry)
      arrange()
    }
  } catch (fault) {
    const offline = fault instanceof TypeError
    wrong.textContent = offline ? "没有签收：连不上服务器。升级照常进行，连上后请再按一次。" : `没有签收：${fault.message}`
    wrong.hidden = false
  } finally {
    button.removeAttribute("aria-busy")
    unsure(row)
  }
}

const cookie = (name) => document.cookie.split("; ").find((each) => each.startsWith(`${name}=`))?.split("=")[1] ?? ""

// ---- the socket

function connect() {
  clearTimeout(timer)
  if (stopped) return
  socket?.close()
  const own = socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/ws/desk`)
  own.addEventListener("message", ({ data }) => { if (own === socket) hear(JSON.parse(data)) })
  own.addEventListener("close", ({ code }) => { if (own === socket) lost(code) })
}

function hear(frame) {
  const was = live.dataset.state
  heardAt = Date.now()
  tries = 0
  if (frame.t === "waiting") {
    const standing = new Set(frame.alerts.map((alert) => alert.id))
    for (const id of [...alerts.keys()]) if (!standing.has(id)) drop(id)
    frame.alerts.forEach(take)
  } else if (frame.t === "alert") take(frame.alert)
  arrange()
  show("live")
  if (was === "cut") said.textContent = "已重新连上，列表是最新的。"
  if (document.visibilityState === "visible" && socket.readyState === WebSocket.OPEN)
    socket.send(JSON.stringify({ t: "seen", seq: frame.seq }))
}

function lost(code) {
  socket = null
  stopped = code === SIGNED_OUT || code === NOT_YOURS
  if (!stopped) {
    const wait = Math.min(15_000, 1000 * 2 ** tries++) * (0.75 + Math.random() / 2)
    nextTry = Date.now() + wait
    timer = setTimeout(connect, wait)
  }
  if (live.dataset.state !== "cut") said.textContent = "与服务器断开。"
  show("cut", code)
}

function show(state, code) {
  live.dataset.state = state
  $("use", live).setAttribute("href", state === "live" ? "#i-live" : "#i-cut")
  $("b", live).textContent = { live: "实时", cut: "断开" }[state]
  notice.hidden = state === "live"
  if (state === "cut") {
    const [what, button] = {
      [SIGNED_OUT]: ["登录已失效", "重新登录"],
      [NOT_YOURS]: ["值班台已对您关闭：任职或班次有变", "刷新页面"],
    }[code] ?? ["与服务器断开", "立即重连"]
    $("b", notice).textContent = what
    $("button", notice).textContent = button
    notice.dataset.code = code
  }
  tick()
}

$("button", notice).addEventListener("click", () => {
  if (notice.dataset.code === String(SIGNED_OUT)) location.href = "/login/?next=/"
  else if (notice.dataset.code === String(NOT_YOURS)) location.reload()
  else connect()
})

function tick() {
  for (const [id, entry] of alerts) {
    if (entry.endedAt && Date.now() - entry.endedAt > LINGER) { drop(id); arrange() } else tickRow(entry)
  }
  const state = live.dataset.state
  if (state === "live") {
    $(".cap", live).textContent = `最近 ${span(Date.now() - heardAt)}前`
    if (Date.now() - heardAt > SILENCE) { socket?.close(); lost(0) }
  } else if (state === "cut") {
    const until = heardAt ? `列表截至 ${clock(heardAt)}。` : ""
    const next = stopped ? "" : socket ? "正在重连。" : `${Math.max(1, Math.ceil((nextTry - Date.now()) / 1000))} 秒后重连。`
    $(".cap", live).textContent = heardAt ? `截至 ${clock(heardAt)}` : ""
    $("p", notice).textContent = `${until}${next}升级照常进行。`
  }
}

addEventListener("online", connect)
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && live.dataset.state === "cut") connect()
})
setInterval(tick, 1000)
connect()
