// The one button of the page that a browser must do by itself.
for (const button of document.querySelectorAll("[data-print]")) button.addEventListener("click", () => window.print())
