// Columns of table.sortable sort by a click on their headings: up, down, as it was. Cells without a value stay last.
(() => {
  "use strict";

  const NEXT = { none: "ascending", ascending: "descending", descending: "none" };

  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const text = (cell.dataset.value ?? cell.textContent).trim();
    if (text === "" || text === "-") return null;
    const number = Number(text);
    return Number.isNaN(number) ? text : number;
  };

  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };

  const sorted = (rows, column, order) => {
    if (order === "none") return rows;
    const sign = order === "ascending" ? 1 : -1;
    const keyed = rows.map((row) => ({ row, value: valueOf(row, column) }));
    keyed.sort((a, b) => {
      if (a.value === null || b.value === null) return (a.value === null) - (b.value === null);
      return sign * compare(a.value, b.value);
    });
    return keyed.map(({ row }) => row);
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const headings = [...table.querySelectorAll("th[data-column]")];
    for (const heading of headings) {
      heading.querySelector("button").addEventListener("click", () => {
        const order = NEXT[heading.getAttribute("aria-sort")];
        for (const other of headings) other.setAttribute("aria-sort", "none");
        heading.setAttribute("aria-sort", order);
        body.replaceChildren(...sorted(rows, Number(heading.dataset.column), order));
      });
    }
  }
})();
