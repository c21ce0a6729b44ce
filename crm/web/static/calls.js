"use strict";
// The timeline: what the pointer or the keyboard is at is said in words below it.
for (const event of ["focusin", "pointerover"]) {
  document.addEventListener(event, (at) => {
    const part = at.target.closest?.("[data-say]");
    const said = document.getElementById("said");
    if (part && said) said.textContent = part.dataset.say;
  });
}
