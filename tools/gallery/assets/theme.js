// Before anything is drawn: the theme that was chosen last, or the system's.
document.documentElement.dataset.theme = (() => {
  try { if (localStorage.q35theme) return localStorage.q35theme; } catch { /* a page from disk may have no storage */ }
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
})();
