// The name and size of the chosen file, in our words: a browser's own control speaks the browser's language.
for (const pick of document.querySelectorAll(".pick")) {
  const input = pick.querySelector("input"), told = pick.querySelector("output")
  const size = (bytes) => bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`
  const tell = () => {
    const [file] = input.files
    told.textContent = file ? `${file.name} · ${size(file.size)}` : told.dataset.none
  }
  input.addEventListener("change", tell)
  tell()
}
