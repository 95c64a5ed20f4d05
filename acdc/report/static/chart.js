// Faithfulness against size: what was measured, and where the slider stands.

const chart = d3.select("#curve-figure");

function drawChart() {
  if (!GRAPH.curve || chart.empty()) return;
  const points = GRAPH.curve.points.filter((point) => point.f !== null);
  const { width, height } = chart.node().getBoundingClientRect();
  const margin = { top: 12, right: 16, bottom: 42, left: 52 };
  const x = d3.scaleSymlog().domain([0, d3.max(points, (point) => point.n)]).range([margin.left, width - margin.right]);
  const [low, high] = d3.extent(points, (point) => point.f);
  const y = d3.scaleLinear().domain([Math.min(0, low), Math.max(1, high)]).nice().range([height - margin.bottom, margin.top]);
  const ticks = [0, 1, 10, 100, 1e3, 1e4, 1e5, 1e6].filter((n) => n <= x.domain()[1]);
  chart.attr("viewBox", `0 0 ${width} ${height}`).selectAll("*").remove();
  chart.append("g").attr("transform", `translate(0,${height - margin.bottom})`).call(d3.axisBottom(x).tickValues(ticks).tickFormat(d3.format(",")));
  chart.append("g").attr("transform", `translate(${margin.left},0)`).call(d3.axisLeft(y).ticks(5));
  chart.append("text").attr("x", (margin.left + width - margin.right) / 2).attr("y", height - 6).attr("text-anchor", "middle").text("edges");
  chart.append("text").attr("transform", "rotate(-90)").attr("x", -(height - margin.bottom) / 2).attr("y", 14).attr("text-anchor", "middle").text("faithfulness");
  chart.append("path").attr("class", "measured").attr("d", d3.line((point) => x(point.n), (point) => y(point.f))(points));
  const dots = chart.selectAll("circle").data(points).join("circle").attr("class", (point) => (point.ofThis ? "of-this" : "")).attr("r", 4);
  dots.attr("cx", (point) => x(point.n)).attr("cy", (point) => y(point.f)).append("title").text((point) => `${counted(point.n, "edge")}: ${plain(point.f)}`);
  const here = chart.append("line").attr("class", "here").attr("y1", margin.top).attr("y2", height - margin.bottom);
  here.attr("x1", x(state.n)).attr("x2", x(state.n)).append("title").text(`drawn: ${counted(state.n, "edge")}`);
}

/** What the shown edges keep: the measured number where this very set was measured, else that it wasn't. */
function keptWords() {
  const isWhole = state.n === GRAPH.n_edges && !(state.only && state.pins.size);
  if (isWhole && GRAPH.whole) return `The whole circuit: faithfulness ${GRAPH.whole.text} by ${GRAPH.whole.metric}, measured on ${GRAPH.whole.prompts}.`;
  if (DOCUMENT) return ""; // of features, nodes are what was measured, not edges
  if (!GRAPH.curve) return "Faithfulness of what is shown: not measured.";
  const { points, metric, prompts } = GRAPH.curve;
  const known = points.filter((point) => point.ofThis && point.f !== null);
  const here = state.by === "score" && !(state.only && state.pins.size) ? known.find((point) => point.n === state.n) : null;
  if (here) return `These ${counted(here.n, "edge")} alone: faithfulness ${plain(here.f)} by ${metric}, measured on ${prompts}.`;
  const near = known.filter((point) => point.n > 0).map((point) => `${point.n.toLocaleString("en")} → ${plain(point.f)}`);
  const others = near.length ? ` Measured of the strongest by score: ${near.slice(0, 6).join(", ")}${near.length > 6 ? ", …" : ""}.` : "";
  return `Faithfulness of what is shown: not measured.${others}`;
}

onChange((changes) => {
  if ("n" in changes || "by" in changes) drawChart();
});
