// Tables: sorted by a click on a column's head; grids change what they show; names of nodes lead to the graph.

function sortBy(head) {
  const table = head.closest("table");
  const heads = [...head.parentElement.children];
  const [column, isUp] = [heads.indexOf(head), head.getAttribute("aria-sort") === "descending"];
  heads.forEach((each) => each.setAttribute("aria-sort", each !== head ? "none" : isUp ? "ascending" : "descending"));
  const keyOf = (row) => {
    const cell = row.children[column];
    return "key" in cell.dataset ? Number(cell.dataset.key) : cell.textContent;
  };
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === ""); // what is missing stands last either way
    const found = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
    return isUp ? found : -found;
  };
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [keyOf(row), row]).sort(([a], [b]) => compare(a, b));
  body.append(...rows.map(([, row]) => row));
}

document.querySelectorAll(".sort").forEach((button) => button.addEventListener("click", () => sortBy(button.closest("th"))));

document.querySelectorAll("select[data-heat]").forEach((select) =>
  select.addEventListener("change", () => {
    const grids = document.getElementById(select.dataset.heat).querySelectorAll("[data-layer]");
    grids.forEach((grid) => (grid.hidden = grid.dataset.layer !== select.value));
  }),
);

document.querySelectorAll("main .to-node[data-node]").forEach((button) =>
  button.addEventListener("click", () => {
    update({ node: button.dataset.node });
    document.getElementById("circuit").scrollIntoView();
  }),
);
