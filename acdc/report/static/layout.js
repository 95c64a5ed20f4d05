// Where nodes stand: rows from the input to the logits and, where there are spans, a column for each.

const GAP = 16;
const COLUMN_GAP = 44;
const HEIGHT = 40;

/** The nodes and edges to draw: the first n of the order, of pinned nodes alone if so asked, heads of a role as one. */
function drawn() {
  let edges = ORDERS[state.by].slice(0, state.n);
  if (state.only && state.pins.size) {
    const pinned = new Set([...state.pins].map((name) => INDEX.get(name)));
    edges = EDGES.filter((edge) => pinned.has(edge.src) && pinned.has(edge.dst));
  }
  const used = new Set(edges.flatMap((edge) => [edge.src, edge.dst]));
  for (const name of [state.node, ...state.pins]) if (INDEX.has(name)) used.add(INDEX.get(name));
  if (!(state.only && state.pins.size)) GRAPH.nodes.forEach((node, i) => (node.kind === "input" || node.kind === "logits") && used.add(i));
  const nodes = [...used].sort((a, b) => a - b).map((i) => ({ ...GRAPH.nodes[i], i, members: [GRAPH.nodes[i].id] }));
  const found = state.group ? grouped(nodes, edges) : { nodes, edges: edges.map((edge) => ({ ...edge, count: 1 })) };
  found.nodes.forEach((node) => (node.width = widthOf(node)));
  return found;
}

/** Heads of one role, in one span, as one node; edges between the same nodes and inputs are summed. */
function grouped(nodes, edges) {
  const groups = d3.group(nodes.filter((node) => node.kind === "head" && node.role), (node) => `${node.role}\n${node.span ?? ""}`);
  const place = new Map(nodes.map((node) => [node.i, node]));
  const merged = [];
  for (const members of groups.values()) {
    if (members.length < 2) continue;
    const middle = members[Math.floor((members.length - 1) / 2)];
    const label = `${members.length} heads`;
    const one = { ...middle, id: `${middle.role}${middle.span ? ` @ ${middle.span}` : ""}`, label, isGroup: true, holds: null };
    one.members = members.map((member) => member.id);
    merged.push(one);
    members.forEach((member) => place.set(member.i, one));
  }
  const sums = new Map();
  for (const edge of edges) {
    const [src, dst] = [place.get(edge.src), place.get(edge.dst)];
    if (src === dst) continue;
    const key = `${src.id}\n${dst.id}\n${edge.input}`;
    const sum = sums.get(key) ?? { ...edge, weight: null, influence: 0, count: 0, from: src, to: dst };
    sum.weight = edge.weight === null ? sum.weight : (sum.weight ?? 0) + edge.weight;
    sum.influence += edge.influence;
    sum.count += 1;
    sums.set(key, sum);
  }
  const left = [...new Set(nodes.map((node) => place.get(node.i)))];
  return { nodes: left, edges: [...sums.values()] };
}

function widthOf(node) {
  return Math.max(58, 7.4 * node.label.length + 18, 5.1 * node.role.length + 16);
}

/** Give every node x and y, and every edge its ends; the rows and columns that there are. */
function layOut({ nodes, edges }) {
  const byIndex = new Map(nodes.flatMap((node) => node.members.map((name) => [INDEX.get(name), node])));
  edges.forEach((edge) => {
    edge.from = byIndex.get(edge.src);
    edge.to = byIndex.get(edge.dst);
  });
  const rows = [...d3.group(nodes, rowOf)].sort((a, b) => a[0] - b[0]).map(([, row]) => row);
  const step = rows.length > 14 ? 74 : 92;
  rows.forEach((row, r) => row.forEach((node) => (node.y = r * step)));
  const spans = spansIn(nodes);
  const columns = spans.length > 1 ? columnsOf(rows, spans) : [];
  order(rows, edges, columns);
  return { rows: rows.map((row) => ({ y: row[0].y, label: row[0].row, layer: row[0].layer })), columns, step };
}

const FIRST_OF_ROW = new Map();
GRAPH.nodes.forEach((node, i) => {
  const key = `${node.layer}\n${node.row}`;
  if (!FIRST_OF_ROW.has(key)) FIRST_OF_ROW.set(key, i);
});
const rowOf = (node) => FIRST_OF_ROW.get(`${node.layer}\n${node.row}`);

function spansIn(nodes) {
  const all = GRAPH.nodes.map((node) => node.span).filter((span) => span !== null);
  const here = new Set(nodes.map((node) => node.span));
  return [...new Set(all)].filter((span) => here.has(span));
}

/** A column is as wide as its widest row. */
function columnsOf(rows, spans) {
  let left = 0;
  return spans.map((span) => {
    const width = Math.max(80, ...rows.map((row) => d3.sum(row.filter((node) => node.span === span), (node) => node.width + GAP)));
    const column = { span, left, width, middle: left + width / 2 };
    left += width + COLUMN_GAP;
    return column;
  });
}

/** Order rows by the mean place of their neighbours, down and up again, then move nodes towards them. */
function order(rows, edges, columns) {
  const neighbours = new Map(rows.flat().map((node) => [node, []]));
  for (const { from, to, weight } of edges) {
    const strength = 0.05 + Math.sqrt(size(weight));
    neighbours.get(from).push([to, strength]);
    neighbours.get(to).push([from, strength]);
  }
  const middle = new Map(columns.map((column) => [column.span, column.middle]));
  const home = (node) => middle.get(node.span) ?? (columns.length ? d3.mean(columns, (column) => column.middle) : 0);
  const wish = (node) => {
    const near = neighbours.get(node);
    if (!near.length) return home(node);
    const mean = d3.sum(near, ([other, strength]) => other.x * strength) / d3.sum(near, ([, strength]) => strength);
    return middle.has(node.span) ? home(node) + (mean - home(node)) * 1e-3 : mean;
  };
  rows.forEach((row) => row.forEach((node, i) => (node.x = home(node) + (i - (row.length - 1) / 2) * 90)));
  for (let sweep = 0; sweep < 24; sweep += 1) {
    for (const row of sweep % 2 ? [...rows].reverse() : rows) {
      const wishes = new Map(row.map((node) => [node, wish(node)]));
      if (sweep < 16) row.sort((a, b) => wishes.get(a) - wishes.get(b));
      spread(row, wishes);
    }
  }
}

/** The nearest places to the wishes that keep order and gaps: neighbours that collide move as one block. */
function spread(row, wishes) {
  const blocks = [];
  for (const node of row) {
    blocks.push({ nodes: [node], width: node.width + GAP, middle: wishes.get(node) });
    while (blocks.length > 1) {
      const [a, b] = blocks.slice(-2);
      if (a.middle + a.width / 2 <= b.middle - b.width / 2) break;
      const count = a.nodes.length + b.nodes.length;
      // each node of b wishes to be where it is within the block, so its wish counts less the shift
      const start = ((a.middle - a.width / 2) * a.nodes.length + (b.middle - b.width / 2 - a.width) * b.nodes.length) / count;
      blocks.splice(-2, 2, { nodes: [...a.nodes, ...b.nodes], width: a.width + b.width, middle: start + (a.width + b.width) / 2 });
    }
  }
  for (const block of blocks) {
    let x = block.middle - block.width / 2;
    for (const node of block.nodes) {
      node.x = x + (node.width + GAP) / 2;
      x += node.width + GAP;
    }
  }
}
