// Keys of the desk. Every page works without this file: each key presses or focuses something that is there.
"use strict";

(() => {
  const rows = [...document.querySelectorAll("tr[data-row]")];
  let here = -1;

  const stand = (to) => {
    if (!rows.length) return;
    rows[here]?.classList.remove("here");
    here = Math.min(Math.max(to, 0), rows.length - 1);
    rows[here].classList.add("here");
    rows[here].querySelector("a[data-open]").focus({ preventScroll: true });
    rows[here].scrollIntoView({ block: "nearest" });
  };

  const target = (key) => document.querySelector(`[data-key="${CSS.escape(key)}"]`);

  const turn = (key) => {
    if (rows.length) return stand(here + (key === "j" ? 1 : -1));
    return target(key)?.click();
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || event.repeat) return;
    const typing = event.target.matches("input, textarea, select");
    if (event.key === "Escape" && typing) return event.target.blur();
    if (typing) return;
    if (event.key === "j" || event.key === "k") {
      event.preventDefault();
      return turn(event.key);
    }
    if (event.key === "?") {
      const keys = document.getElementById("keys");
      if (!keys) return;
      keys.open = !keys.open;
      if (keys.open) keys.querySelector("summary").focus();
      return;
    }
    const found = ["f", "h", "s", "u", "/"].includes(event.key) && target(event.key);
    if (!found) return;
    event.preventDefault();
    // a decision takes two keys: the first goes to the button, Enter presses it
    if (found.tagName === "A") found.click();
    else {
      found.scrollIntoView({ block: "nearest" });
      found.focus();
    }
  });

  // a double click sends a form once
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "yes";
  });
  window.addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));

  if (rows.length) stand(0);
})();
