"""What `acdc contrast` found: as a table, as JSON, and in its folder."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acdc.features.acting import Ablated, Contrast
from acdc.features.reading import FeatureReading, FoundRule
from acdc.files import plain, write_csv, write_json
from acdc.report.contrast_page import write_contrast_page
from acdc.runs.fingerprint import fingerprint
from acdc.runs.folders import check_writable, runs_folder

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ContrastRun"]


@dataclass(frozen=True, eq=False)
class ContrastRun:
    """Features that tell two sets apart, what is known of when they fire, and where it was written.

    Attributes:
        rules: Each row's feature's rule with its test, from what was read of the dictionary; None without one.
        reading: What was read; None: the dictionary's features were not read.
        ablated: What ablating the features that hold does; None: that was not asked.
        record: What was asked, and what a reader must know of the prompts.
        path: The folder; None if nothing was to be written.
    """

    found: Contrast
    rules: tuple[FoundRule | None, ...]
    reading: FeatureReading | None
    ablated: tuple[Ablated, ...] | None
    record: Mapping[str, Any]
    path: Path | None = None
    files: tuple[Path, ...] = ()

    @property
    def read_on(self) -> str | None:
        """The text that the rules are of."""
        return None if self.reading is None else self.reading.about.corpus

    def peaks(self, i: int) -> tuple[tuple[str, float], ...]:
        """The tokens on which row i's feature is largest, in the held-out prompts of the set in which it fires more."""
        return self.found.firing(i).peaks(i)

    def frame(self) -> "pd.DataFrame":
        """A line a feature: see `Contrast.frame`; its `peak` token, its `rule`, by the rule's test its `detection`, and
        what ablating it does."""
        tests = [None if rule is None else rule.test.detection for rule in self.rules]
        peaks = [self.peaks(i) for i in range(len(self.rules))]
        frame = self.found.frame().assign(
            peak=[found[0][0] if found else "" for found in peaks],
            rule=["" if rule is None else rule.text for rule in self.rules],
            detection=[None if test is None else test.value for test in tests],
        )
        if not self.ablated:
            return frame
        import pandas as pd

        alone = (each for each in self.ablated if len(each.features) == 1)
        ablated = pd.DataFrame([{"feature": each.features[0], **each.cells()} for each in alone])
        return frame.merge(ablated, on="feature", how="left")

    def ablated_frame(self) -> "pd.DataFrame":
        """A line an ablation, those of all features of a set among them: its `name`, and what `Ablated.cells` says."""
        import pandas as pd

        return pd.DataFrame([{"name": each.name, **each.cells()} for each in self.ablated or ()])

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return self.frame().to_html(escape=True, index=False)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON holds it."""
        rows = [
            asdict(row) | {"peaks": self.peaks(i), "rule": None if rule is None else asdict(rule)}
            for i, (row, rule) in enumerate(zip(self.found.rows, self.rules, strict=True))
        ]
        held_out = {"n_first": self.found.first.batch.n, "n_second": self.found.second.batch.n}
        ablated = None if self.ablated is None else [asdict(each) for each in self.ablated]
        about = {"held_out": held_out, "rules_read_on": self.read_on}
        return plain({**self.record, **about, "features": rows, "ablated": ablated})

    def written(self, model: str, out: str | Path) -> "ContrastRun":
        """The same, with its files.

        Raises:
            FileError: A file can't be written.
        """
        name = self.record["asked"].get("task", "prompts")
        folder = runs_folder(out, name, model, "contrast") / fingerprint(dict(self.record))[:10]
        check_writable(folder)
        folder.mkdir(parents=True, exist_ok=True)
        page = write_contrast_page(folder / "report.html", self.found, self.record, self.reading, self.ablated)
        files = [write_json(folder / "contrast.json", self.to_dict()), write_csv(folder / "contrast.csv", self.frame())]
        if self.ablated:
            files.append(write_csv(folder / "ablated.csv", self.ablated_frame()))
        return replace(self, path=folder, files=(*files, page))
