"""The page in a real browser, from disk and without a network."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from acdc.features.attribution_graphs import load_graph, save_graph
from acdc.features.reading import card_of
from acdc.files import write_csv
from acdc.report import Findings, write_page
from acdc.report.feature_page import write_feature_page
from acdc.report.graph_page import write_graph_page
from acdc.report.trace_page import findings_of_trace
from tests.features.reading.planted import ON, planted
from tests.report.browser import Opened, chromium
from tests.report.samples import HOSTILE, curve_of, findings, random_circuit, split_circuit
from tests.report.test_graph_page import traced

pytestmark = pytest.mark.browser

HEAD = next(name for name in random_circuit(6, 6, 150).nodes if name.startswith("a2"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    circuit = random_circuit(6, 6, 150)
    made = findings(circuit=circuit, record=curve_of(circuit))
    return write_page(tmp_path_factory.mktemp("page") / "report.html", made)


def slide(opened: Opened, n: int) -> None:
    """Move the slider to a number of edges."""
    opened.page.eval_on_selector("#n", "(input, n) => { input.value = n; input.dispatchEvent(new Event('input')); }", n)


def test_it_opens_without_a_complaint_and_every_id_is_unique(browser: Any, made: Path) -> None:
    opened = Opened(browser, made)
    assert opened.complaints == []
    ids = opened.page.eval_on_selector_all("[id]", "all => all.map(each => each.id)")
    assert len(ids) == len(set(ids)) > 20
    assert opened.page.evaluate("performance.getEntriesByType('resource').length") == 0


def test_what_tokens_hold_is_shown_and_never_run(browser: Any, made: Path) -> None:
    opened = Opened(browser, made, f"#node={HEAD}")
    assert opened.page.evaluate("window.hacked") is None and opened.complaints == []
    words = opened.page.locator("#prompts .word bdi").all_inner_texts()
    assert HOSTILE[0].replace(" ", "·") in words and "·مرحبا" in words and "a␀b␛[31m" in words and "\\ud800" in words
    assert any("\\u202eright·to·left\\u2028\\u2029" in word for word in words)
    assert opened.page.locator("img").count() == 0 and opened.page.locator("body script").count() == 3
    assert HOSTILE[0] in opened.text("#panel")


def test_the_tables_numbers_are_those_of_edges_csv(browser: Any, made: Path, tmp_path: Path) -> None:
    circuit = random_circuit(6, 6, 150)
    saved = write_csv(tmp_path / "edges.csv", circuit.to_frame())
    rows = [row for row in csv.DictReader(saved.open()) if row["kept"] == "True"]
    opened = Opened(browser, made)
    script = "rows => rows.map(row => [row.cells[0].innerText, row.cells[4].dataset.key])"
    shown = opened.page.eval_on_selector_all("#edge-table tbody tr", script)
    assert {name: float(key) for name, key in shown} == {row["edge"]: float(row["score"]) for row in rows}
    data = json.loads(opened.page.inner_text("#data") or opened.page.text_content("#data"))["graph"]
    names = [f"{data['nodes'][s]['id']}->{data['nodes'][d]['id']}" for s, d, *_ in data["edges"]]
    assert sorted(names) == sorted(f"{row['src']}->{row['dst']}" for row in rows)


def test_the_slider_shows_the_strongest_edges_and_what_is_known_of_that_size(browser: Any, made: Path) -> None:
    opened, circuit = Opened(browser, made), random_circuit(6, 6, 150)
    assert opened.n_edges() == circuit.n_edges
    slide(opened, 7)
    assert opened.n_edges() == 7 and f"7 of {circuit.n_edges} shown" in opened.text("#tools")
    assert "not measured" in opened.text("#at-size")
    scores = opened.page.eval_on_selector_all("#graph path.edge", "all => all.map(each => each.__data__.weight)")
    strongest = circuit.scores[circuit.mask].abs().sort(descending=True).values[:7].tolist()
    assert sorted((abs(score) for score in scores), reverse=True) == pytest.approx(strongest)
    slide(opened, 5)  # measured, but not of these five: the model's strongest five have loose ends
    assert "not measured" in opened.text("#at-size")
    slide(opened, circuit.n_edges)
    assert "faithfulness 0.9" in opened.text("#at-size") and "3 prompts of the search" in opened.text("#at-size")
    slide(opened, 7)
    opened.page.select_option("#by", "influence")
    assert "not measured" in opened.text("#at-size")


def test_a_click_shows_a_node_and_its_edges_with_their_numbers(browser: Any, made: Path) -> None:
    opened, circuit = Opened(browser, made), random_circuit(6, 6, 150)
    opened.page.locator("#graph g.node", has_text=HEAD).first.click()
    assert f"node={HEAD}" in opened.page.url and f"{HEAD} reads" in opened.text("#panel")
    rows = opened.page.locator("#panel table.ways tbody tr").count()
    touching = [
        edge for edge in circuit.edges if HEAD in (edge.split("->")[0], circuit.graph.node_of(edge.split("->")[1]))
    ]
    assert rows == len(touching) and opened.page.locator("#graph path.edge.near").count() == len(touching)
    opened.page.keyboard.press("Escape")
    assert "No node selected" in opened.text("#panel") and "node=" not in opened.page.url
    assert opened.complaints == []


def test_finding_selects_a_node_and_marks_a_role(browser: Any, made: Path) -> None:
    opened = Opened(browser, made)
    opened.page.keyboard.press("/")
    opened.page.keyboard.type(HEAD)
    assert opened.text("#panel h3").startswith(HEAD)
    opened.page.fill("#find", "induction")
    found = opened.page.locator("#graph g.node.found .role").all_text_contents()
    assert found and all("induction" in text for text in found)


def test_a_link_shows_the_same_again(browser: Any, made: Path) -> None:
    opened = Opened(browser, made)
    slide(opened, 40)
    opened.page.select_option("#by", "influence")
    opened.page.fill("#find", HEAD)
    opened.page.click("#pin")
    opened.page.check("#group")
    again = Opened(browser, made, "#" + opened.page.url.split("#")[1])
    assert again.nodes() == opened.nodes() and again.n_edges() == opened.n_edges()
    assert again.text("#panel") == opened.text("#panel") and again.text("#tools") == opened.text("#tools")
    assert again.page.locator("g.node.pinned").count() == 1
    assert Opened(browser, made, "#n=junk&by=none&node=nobody&pin=[1,{}]&only=1").complaints == []


def test_heads_of_one_role_become_one_node(browser: Any, made: Path) -> None:
    opened = Opened(browser, made)
    before = opened.nodes()
    opened.page.check("#group")
    groups = [label for label in opened.nodes() if label.endswith("heads")]
    assert groups and len(before) - len(opened.nodes()) == sum(int(label.split()[0]) - 1 for label in groups)
    total = "all => all.reduce((sum, each) => sum + each.__data__.count, 0)"
    assert opened.page.eval_on_selector_all("#graph path.edge", total) <= random_circuit(6, 6, 150).n_edges


def test_pinned_nodes_alone(browser: Any, made: Path) -> None:
    circuit = random_circuit(6, 6, 150)
    src, dst = next(edge for edge in circuit.edges if edge.startswith("a")).split("<")[0].split("->")
    opened = Opened(browser, made, f"#pin={json.dumps([src, dst])}&only=1")
    assert sorted(opened.nodes()) == sorted([src, dst])
    assert opened.n_edges() == sum(edge.split("<")[0] == f"{src}->{dst}" for edge in circuit.edges)


def test_keys_walk_along_the_edges(browser: Any, made: Path) -> None:
    opened = Opened(browser, made)
    opened.page.locator("#full").focus()
    opened.page.keyboard.press("Tab")  # the link
    opened.page.keyboard.press("Tab")
    focused = "document.activeElement.__data__?.id"
    assert opened.page.evaluate(focused) == "input"
    walked = []
    for _ in range(20):
        opened.page.keyboard.press("ArrowDown")
        walked.append(opened.page.evaluate(focused))
    assert walked[-1] == "logits"
    opened.page.keyboard.press("ArrowUp")
    opened.page.keyboard.press("Enter")
    opened.page.keyboard.press("p")
    name = opened.page.evaluate(focused)
    assert opened.text("#panel h3").startswith(name) and f"pin=%5B%22{name}%22%5D" in opened.page.url
    opened.page.keyboard.press("Escape")
    assert "No node selected" in opened.text("#panel")


def test_tables_sort_and_grids_change_what_they_show(browser: Any, made: Path) -> None:
    opened = Opened(browser, made)
    opened.page.click("#edge-table th:nth-child(5) button")
    keys = opened.page.eval_on_selector_all("#edge-table tbody td:nth-child(5)", "all => all.map(e => +e.dataset.key)")
    assert keys == sorted(keys, reverse=True)
    opened.page.select_option("#lens-0 select", "rank of the answer")
    assert opened.page.locator("#lens-0 table:visible caption").inner_text().endswith("rank of the answer")
    opened.page.click(f"#node-table button:text-is('{HEAD}')")
    assert opened.text("#panel h3").startswith(HEAD)


def test_attention_is_drawn_and_said(browser: Any, made: Path) -> None:
    opened = Opened(browser, made, f"#node={HEAD}")
    dark = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter(v => v < 100).length"
    assert opened.page.locator("#panel canvas").evaluate(dark) > 0
    assert "Most of it:" in opened.text("#panel .patterns")
    opened.page.locator("#panel .pattern-tokens button").first.click()
    assert "(1 of 8)" in opened.text("#panel .patterns")
    opened.page.locator("#panel .pattern-tools input").check()
    assert opened.page.locator("#panel .pattern-tools input").is_checked() and opened.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("selected", [False, True])
def test_axe_finds_nothing_serious(browser: Any, made: Path, scheme: str, selected: bool) -> None:
    hash = f"#node={HEAD}" if selected else ""
    check_with_axe(Opened(browser, made, hash, color_scheme=scheme, reduced_motion="reduce"))


def check_with_axe(opened: Opened) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python (extra 'test')")
    opened.page.eval_on_selector_all("details", "all => all.forEach(each => each.open = true)")
    found = axe.Axe().run(opened.page, options={"resultTypes": ["violations"]}).response["violations"]
    told = [(each["impact"], each["id"], [node["html"][:150] for node in each["nodes"][:3]]) for each in found]
    assert [each for each in told if each[0] in ("serious", "critical", "moderate")] == []


def test_the_theme_can_be_changed(browser: Any, made: Path) -> None:
    opened = Opened(browser, made, color_scheme="light")
    back = "getComputedStyle(document.body).backgroundColor"
    light = opened.page.evaluate(back)
    opened.page.click("#theme")
    assert opened.page.evaluate(back) != light
    assert Opened(browser, made, color_scheme="dark").page.evaluate(back) == opened.page.evaluate(back)


def test_without_script_there_are_a_picture_and_all_tables(browser: Any, made: Path) -> None:
    opened = Opened(browser, made, java_script_enabled=False)
    assert opened.page.locator(".still svg path").count() > 10
    assert opened.page.locator("#edge-table tbody tr:visible").count() == random_circuit(6, 6, 150).n_edges
    assert not opened.page.locator("#tools").is_visible() and "Three heads do" in opened.text("main")


def test_it_prints(browser: Any, made: Path) -> None:
    opened = Opened(browser, made)
    opened.page.emulate_media(media="print")
    assert not opened.page.locator("#tools").is_visible() and opened.page.locator("#graph").is_visible()
    assert opened.page.pdf().startswith(b"%PDF")


def test_ten_thousand_edges_take_seconds(browser: Any, tmp_path: Path) -> None:
    circuit = random_circuit(30, 9, 30_000)
    opened = Opened(browser, write_page(tmp_path / "large.html", Findings(circuit)))
    took = "performance.getEntriesByType('navigation')[0].loadEventEnd"
    assert opened.page.evaluate(took) < 20_000  # 1 to 2 seconds where nothing else runs
    assert 50 < opened.n_edges() <= 300 and f"of {circuit.n_edges:,} shown" in opened.text("#tools")
    assert opened.page.input_value("#by") == "influence"
    slide(opened, 2000)
    assert opened.n_edges() == 2000 and opened.complaints == []
    assert opened.page.locator("#edge-table tbody tr").count() == 1000
    assert f"the 1,000 strongest of {circuit.n_edges:,} edges" in opened.text("#edge-table caption")


def test_spans_are_columns(browser: Any, tmp_path: Path) -> None:
    circuit = split_circuit()
    opened = Opened(browser, write_page(tmp_path / "split.html", Findings(circuit)))
    assert opened.page.locator("#graph .column-label").all_text_contents() == list(circuit.graph.spans)
    script = "all => all.map(each => [each.__data__.span, each.__data__.x])"
    places = opened.page.eval_on_selector_all("#graph g.node", script)
    columns = [[x for span, x in places if span == name] for name in circuit.graph.spans]
    assert all(max(a) < min(b) for a, b in pairwise(columns))
    assert opened.page.locator("#graph path.across").count() > 0
    rows = set(opened.page.locator("#edge-table tbody th").all_inner_texts())
    assert rows == set(circuit.edges)


def test_features_are_nodes_with_cards(browser: Any, tmp_path: Path) -> None:
    graph = traced()
    feature = next(node for node in graph.nodes if node.kind == "feature")
    opened = Opened(
        browser, write_graph_page(tmp_path / "report.html", findings_of_trace(graph)), f"#node={feature.id}"
    )
    assert opened.text("#panel h3").startswith(feature.label) and "adds up to" in opened.text("#panel")
    assert opened.page.locator("#graph g.node.feature.selected").count() == 1
    assert opened.page.locator("#legend .node.feature, #legend .node.error").count() == 2
    places = opened.page.eval_on_selector_all("#graph g.node", "all => all.map(each => each.getAttribute('transform'))")
    assert len(set(places)) == len(places) and not any("NaN" in place or "undefined" in place for place in places)
    assert opened.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_a_page_of_features(browser: Any, tmp_path: Path, scheme: str) -> None:
    a, b, c = [node.id for node in traced().nodes if node.kind == "feature"][:3]
    graph = replace(traced(), supernodes=(("first", a, b),))
    page = write_graph_page(tmp_path / "report.html", findings_of_trace(graph))
    pins = json.dumps([c])
    check_with_axe(Opened(browser, page, f"#node={a}&pin={pins}", color_scheme=scheme, reduced_motion="reduce"))
    cards = write_feature_page(tmp_path / "cards.html", planted().reading, [card_of(planted().reading, ON)])
    check_with_axe(Opened(browser, cards, color_scheme=scheme, reduced_motion="reduce"))


def test_a_narrow_page_doesn_t_scroll_sideways(browser: Any, tmp_path: Path) -> None:
    ids = [node.id for node in traced().nodes if node.kind == "feature"]
    page = write_graph_page(tmp_path / "report.html", findings_of_trace(traced()))
    opened = Opened(browser, page, f"#node={ids[0]}", viewport={"width": 390, "height": 844})
    opened.page.eval_on_selector_all("details", "all => all.forEach(each => each.open = true)")
    assert opened.page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0


def test_a_supernode_is_one_node_and_can_be_opened(browser: Any, tmp_path: Path) -> None:
    ids = tuple(node.id for node in traced().nodes if node.kind == "feature")[:3]
    graph = replace(traced(), supernodes=(("<b>both</b>", *ids),))
    opened = Opened(
        browser, write_graph_page(tmp_path / "report.html", findings_of_trace(graph)), f"#n={graph.n_edges}"
    )
    opened.page.uncheck("#group")  # it opens as the file's groups have it
    before = sorted(opened.nodes())
    script = "all => all.reduce((sum, each) => sum + each.__data__.weight, 0)"
    total = opened.page.eval_on_selector_all("#graph path.edge", script)
    opened.page.check("#group")
    assert len(opened.nodes()) == len(before) - 2 and "<b>both</b> (3)" in opened.nodes()
    inner = sum(weight for src, dst, weight, _ in graph.edges() if {src.id, dst.id} <= set(ids))
    assert opened.page.eval_on_selector_all("#graph path.edge", script) == pytest.approx(total - inner)
    opened.page.uncheck("#group")
    assert sorted(opened.nodes()) == before and opened.complaints == []


def test_a_group_is_opened_alone_made_named_and_saved(browser: Any, tmp_path: Path) -> None:
    a, b, c, d = [node.id for node in traced().nodes if node.kind == "feature"][:4]
    graph = replace(traced(), supernodes=(("first", a, b), ("second", c, d)))
    page = write_graph_page(tmp_path / "report.html", findings_of_trace(graph))
    opened = Opened(browser, page, f"#n={graph.n_edges}&node={a}", accept_downloads=True)
    all_closed = opened.nodes()
    assert {"first (2)", "second (2)"} <= set(all_closed)
    opened.page.click("#open-group")
    assert "second (2)" in opened.nodes() and "first (2)" not in opened.nodes()
    assert len(opened.nodes()) == len(all_closed) + 1
    assert Opened(browser, page, opened.page.url.split(".html")[1]).nodes() == opened.nodes()
    opened.page.evaluate("ids => pin(...ids)", [a, c])
    opened.page.fill("#new-group", "</script><b>mine")
    opened.page.click("#make-group")
    assert "</script><b>mine (2)" in opened.nodes() and opened.page.locator("#panel b").count() == 0
    with opened.page.expect_download() as waiting:
        opened.page.click("#save")
    waiting.value.save_as(tmp_path / waiting.value.suggested_filename)
    saved = load_graph(tmp_path / "graph.json")
    assert saved.supernodes == (("first", b), ("second", d), ("</script><b>mine", a, c))
    assert saved.nodes == load_graph(save_graph(graph, tmp_path / "as it was.json")).nodes
    opened.page.click("#ungroup")
    assert "</script><b>mine (2)" not in opened.nodes() and opened.complaints == []
