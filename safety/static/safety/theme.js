// Light or dark as the system has it, set before the first paint.
const dark = matchMedia("(prefers-color-scheme: dark)")
const paint = () => document.documentElement.dataset.theme = dark.matches ? "dark" : "light"
dark.addEventListener("change", paint)
paint()
