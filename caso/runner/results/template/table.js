"use strict";
(() => {
  // Tables whose rows can be sorted by each column and filtered: a click, or Enter, on a heading.
  const table = document.querySelector("table.cards");
  if (!table) return;
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const at = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim().toLowerCase();
  const numeric = (column) => rows.some((row) => "value" in row.cells[column].dataset);
  const order = new Intl.Collator(undefined, { numeric: true });

  function sort(column) {
    const heading = headings[column];
    const down = heading.getAttribute("aria-sort") === "ascending";
    const compare = numeric(column) ? (one, other) => Number(one) - Number(other) : order.compare;
    const keyed = rows.map((row) => [at(row, column), row]);
    // What is missing stays last, in both directions.
    keyed.sort(([one], [other]) => (one === "") - (other === "") || (one === "" ? 0 : compare(one, other) * (down ? -1 : 1)));
    body.append(...keyed.map(([, row]) => row));
    for (const one of headings) one.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  }
  headings.forEach((heading, column) => {
    if (heading.classList.contains("fixed")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(column));
    heading.append(button);
  });

  const [find, ofClass, ofStatus, count] = ["find", "of-class", "of-status", "count"].map((id) => document.getElementById(id));
  function filter() {
    const words = find.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits = (!words || [...row.cells].some((cell) => !cell.classList.contains("look") && cell.textContent.toLowerCase().includes(words)))
        && (!ofClass?.value || row.dataset.class === ofClass.value)
        && (!ofStatus?.value || row.dataset.status.split(" ").includes(ofStatus.value));
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = shown === rows.length ? "" : `${shown} of ${rows.length} shown`;
    document.getElementById("none").hidden = shown > 0;
  }
  if (find) {
    for (const one of [find, ofClass, ofStatus]) for (const event of ["input", "change"]) one?.addEventListener(event, filter);
    find.form.addEventListener("submit", (event) => event.preventDefault());
  }
  document.documentElement.classList.add("with-script");
})();
