"use strict";
// The grid of a house: the flat that was opened is marked and, on a narrow screen, brought into sight; arrows move
// from flat to flat.

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "flat") return;
  const card = event.detail.target.querySelector("[data-flat]");
  for (const cell of document.querySelectorAll(".flats [aria-current]")) cell.removeAttribute("aria-current");
  const opened = card && document.querySelector(`.flats [hx-get="/flat/${card.dataset.flat}/card"]`);
  if (opened) opened.setAttribute("aria-current", "true");
  const top = event.detail.target.getBoundingClientRect().top;
  if (top > window.innerHeight - 120 || top < 0) event.detail.target.scrollIntoView({ block: "start" });
});

document.addEventListener("keydown", (event) => {
  const cell = event.target.closest(".flats .cell");
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!cell || !step) return;
  const rows = [...document.querySelectorAll(".flats tbody tr")].map((row) => [...row.querySelectorAll(".cell")]);
  const row = rows.findIndex((cells) => cells.includes(cell));
  const at = rows[row].indexOf(cell) + step[0];
  const cells = rows[row + step[1]];
  const next = cells && (cells[step[1] ? Math.min(at, cells.length - 1) : at]);
  if (!next) return;
  event.preventDefault();
  next.focus();
});
