"""Options of the commands that measure a saved run again: another world than the run's, and what is let run or pass."""

from typing import Annotated

import typer

__all__ = ["Force", "OtherAblation", "OtherDevice", "OtherDtype", "OtherMetric", "OtherModel", "OtherTask", "TrustTask"]

OtherModel = Annotated[str | None, typer.Option(help="Another model than the run's.")]
OtherTask = Annotated[str | None, typer.Option(help="Another task than the run's.")]
OtherMetric = Annotated[str | None, typer.Option(help="Another metric than the run's.")]
OtherAblation = Annotated[str | None, typer.Option(help="Another ablation than the run's: see `acdc methods`.")]
OtherDtype = Annotated[str | None, typer.Option(help="Another dtype than the run's.")]
OtherDevice = Annotated[str | None, typer.Option(help="Another device than the run's.")]
TrustTask = Annotated[
    bool, typer.Option("--trust-task", help="Run the code of the run's task, where that is a file or a module.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Go on where the model isn't the one that the circuit was found in.")
]
