// Finds rows by name. Without scripts the box stays hidden, and the browser's own search finds them as well.
"use strict";
for (const box of document.querySelectorAll("[data-finds]")) {
  const rows = [...document.getElementById(box.dataset.finds).tBodies[0].rows];
  const field = box.querySelector("input");
  const told = box.querySelector("output");
  box.hidden = false;
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    let found = 0;
    for (const row of rows) {
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
      found += !row.hidden;
    }
    told.textContent = wanted ? `${found} of ${rows.length}` : "";
  });
}
