// The theme button, and figures that enlarge.
(() => {
  "use strict";

  const theme = document.getElementById("theme");
  const systemIsDark = window.matchMedia("(prefers-color-scheme: dark)");
  const showTheme = () => {
    const chosen = document.documentElement.dataset.theme;
    const dark = chosen ? chosen === "dark" : systemIsDark.matches;
    theme.setAttribute("aria-pressed", String(dark));
    return dark;
  };
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = showTheme() ? "light" : "dark";
    showTheme();
  });
  systemIsDark.addEventListener("change", showTheme);
  theme.hidden = false;
  showTheme();

  const dialog = document.getElementById("zoom");
  const holder = document.getElementById("zoom-picture");
  const fit = document.getElementById("zoom-fit");
  for (const button of document.querySelectorAll("button.zoom")) {
    button.addEventListener("click", () => {
      holder.replaceChildren(button.querySelector("img").cloneNode());
      dialog.showModal();
    });
  }
  fit.addEventListener("click", () => {
    fit.setAttribute("aria-pressed", String(dialog.classList.toggle("fit")));
  });
  document.getElementById("zoom-close").addEventListener("click", () => dialog.close());
})();
