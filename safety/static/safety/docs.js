// Finding a door by any word of it, and opening the one that an address names.
const find = document.querySelector("#find"), none = document.querySelector("#none")
const doors = [...document.querySelectorAll(".door")].map((door) => [door, door.textContent.toLowerCase()])

function sift() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean)
  let shown = 0
  for (const [door, text] of doors) {
    door.hidden = !words.every((word) => text.includes(word))
    if (!door.hidden) shown += 1
  }
  for (const chapter of document.querySelectorAll(".chapter"))
    chapter.hidden = !chapter.querySelector(".door:not([hidden])")
  none.hidden = shown > 0
}

function openNamed() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)))
  if (!named?.classList.contains("door")) return
  if (named.hidden) { find.value = ""; sift() }
  named.open = true
  named.scrollIntoView()
}

if (matchMedia("(max-width: 59.99rem)").matches) document.querySelector("#toc").open = false
find.addEventListener("input", sift)
addEventListener("hashchange", openNamed)
openNamed()
