"""`acdc tasks`, `acdc models` and `acdc methods`: what there is."""

import typer

from acdc.cli.app import app
from acdc.cli.terminal import Debug, Json, dump, table

__all__ = ["methods", "models", "tasks"]


@app.command()
def tasks(as_json: Json = False, debug: Debug = False) -> None:
    """List the tasks that are installed."""
    from acdc.task import registered_tasks

    rows = [
        {
            "name": name,
            "summary": kind.summary,
            "source": kind.source,
            "metric": kind.metric,
            "default_model": kind.default_model,
        }
        for name, kind in registered_tasks().items()
    ]
    _list(rows, as_json, "Your own: path/to/file.py:Class, or an entry point in the group 'acdc.tasks'.")


@app.command()
def models(as_json: Json = False, debug: Debug = False) -> None:
    """List the bundled models and the supported families."""
    from acdc.models import FAMILIES
    from acdc.zoo import zoo_names, zoo_summary

    bundled = [{"name": name, "kind": "bundled", "what": zoo_summary(name), "checked": ""} for name in zoo_names()]
    families = [
        {"name": key, "kind": "family", "what": family.models, "checked": family.tested}
        for key, family in FAMILIES.items()
    ]
    _list(
        bundled + families,
        as_json,
        "A family is named by the model_type of a model's config.json; checked: what is compared with Hugging Face.",
    )


@app.command()
def methods(as_json: Json = False, debug: Debug = False) -> None:
    """List the discovery methods with their options, the metrics and the ablations."""
    from acdc.discovery import METHODS
    from acdc.metrics import METRICS
    from acdc.options import options_of
    from acdc.patching.ablation import ABLATIONS

    rows = [
        {"name": method.name, "kind": "method", "what": f"{method.summary} ({method.source})"}
        for method in METHODS.values()
    ]
    rows += [
        {"name": f"{method.name} {name}={option.default}", "kind": "option", "what": option.summary}
        for method in METHODS.values()
        for name, option in options_of(method).items()
    ]
    rows += [{"name": metric.name, "kind": "metric", "what": metric.summary} for metric in METRICS.values()]
    rows += [{"name": ablation.name, "kind": "ablation", "what": ablation.summary} for ablation in ABLATIONS.values()]
    _list(
        rows,
        as_json,
        "Options are given as --option KEY=VALUE; --tau, --sweeps and --absolute have names of their own.",
    )


def _list(rows: list[dict[str, str]], as_json: bool, note: str) -> None:
    if as_json:
        dump(rows)
        return
    headers = list(rows[0]) if rows else []
    table([header.replace("_", " ") for header in headers], [list(row.values()) for row in rows])
    typer.echo(note)
