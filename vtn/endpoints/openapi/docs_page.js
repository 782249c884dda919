"use strict";
const field = document.getElementById("search");
const entries = [...document.querySelectorAll("[data-words]")];
function search() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const entry of entries) entry.hidden = !words.every((word) => entry.dataset.words.includes(word));
}
function open_target() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") {
    target.hidden = false;
    target.open = true;
    target.scrollIntoView();
  }
}
field.addEventListener("input", search);
window.addEventListener("hashchange", open_target);
open_target();
