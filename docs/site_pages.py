"""The pages of the documentation's site that no one writes: made of the README, the docstrings and the registries.

mkdocs calls the functions `on_...` (`mkdocs.yml` names this file as a hook). What stands in a docstring, a method's
declaration or a command's help is written there alone.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import acdc
from acdc.cli.app import app
from acdc.discovery import METHODS
from acdc.discovery.method import Method
from acdc.discovery.scored import Scored
from acdc.evaluation.part import Part
from acdc.evaluation.parts import PARTS
from acdc.interpret.roles import ROLES
from acdc.interpret.roles.role import Role
from acdc.options.ranges import described

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\[([^\]]*)\]\(((?:\.\./)*)([^)#:\s]+)(#[^)]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The order of the pages: a new file in `docs`, method, part or role finds its place by itself."""
    own = sorted(path.name for path in Path(config.docs_dir).glob("*.md"))
    guide = [name for name in own if name not in ("methods.md", "evaluation.md", "roles.md", "glossary.md")]
    config.nav = [
        {"Start": "index.md"},
        {"Guide": guide},
        {"Methods": ["methods.md", *(f"methods/{method.name}.md" for method in METHODS.values())]},
        {"Evidence": ["evaluation.md", *(f"parts/{name}.md" for name in PARTS)]},
        {"Roles": ["roles.md", *(f"roles/{_slug(role)}.md" for role in ROLES.values())]},
        {"Reference": ["commands.md", "api.md", "glossary.md", "contributing.md"]},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    for path, text in _pages():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Say the name of what a page links to where that isn't part of the site: a file of the repository."""
    here = Path(page.file.src_uri).parent

    def linked(match: re.Match[str]) -> str:
        text, up, target, anchor = match.groups()
        if files.get_file_from_path((here / f"{up}{target}").as_posix().removeprefix("./")) or not up:
            return match.group(0)
        return f"{text} (`{target}{anchor or ''}`)"

    return LINK.sub(linked, markdown)


def _pages() -> Iterator[tuple[str, str]]:
    yield "index.md", _moved((ROOT / "README.md").read_text(encoding="utf-8"))
    yield "contributing.md", _moved((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    yield "commands.md", _commands()
    yield "api.md", _api()
    for method in METHODS.values():
        yield f"methods/{method.name}.md", _method(method)
    for name, part in PARTS.items():
        yield f"parts/{name}.md", _part(name, part)
    for role in ROLES.values():
        yield f"roles/{_slug(role)}.md", _role(role)


def _moved(text: str) -> str:
    """A page of the repository's top as one of the folder `docs`."""
    return re.sub(r"\]\((?!docs/|https?:|#)([^)]+)\)", r"](../\1)", text).replace("](docs/", "](")


def _commands() -> str:
    """Every command with its options, as `--help` says them."""
    program = typer.main.get_command(app)
    lines = ["# Commands", "", f"`acdc`: {_clean(program.help)}"]
    for name, command in sorted(program.commands.items()):  # type: ignore[attr-defined]  # it is a group
        lines += ["", f"## acdc {name}", "", _clean(command.help), "", "| | |", "|---|---|"]
        for parameter in command.params:
            words = parameter.opts + parameter.secondary_opts if parameter.param_type_name == "option" else []
            shown = ", ".join(f"`{word}`" for word in words) or f"`{parameter.metavar or parameter.name}`"
            lines.append(f"| {shown} | {_cell(getattr(parameter, 'help', None))} |")
    return "\n".join(lines)


def _api() -> str:
    """What `import acdc` gives, from its docstrings."""
    lines = ["# Python API", "", "All of it stands in `acdc` itself: `from acdc import discover`.", ""]
    for name in acdc.__all__:
        if not name.startswith("__"):
            lines += [f"::: acdc.{acdc._HOME[name]}.{getattr(acdc, name).__name__}", ""]
    return "\n".join(lines)


def _method(method: Method) -> str:
    search = method.search.score if isinstance(method.search, Scored) else method.search
    notes = [
        f"Source: {method.source}.",
        f"Also called {', '.join(f'`{alias}`' for alias in method.aliases)}." if method.aliases else "",
        "A baseline: it knows nothing of the task." if method.baseline else "",
        f"On large models `{method.faster}` gives the same kind of answer sooner." if method.faster else "",
        "It can't look for a circuit by denoising." if method.noising_only else "",
    ]
    lines = [f"# {method.name}", "", f"{_sentence(method.summary)} {' '.join(filter(None, notes))}", ""]
    lines += [f"    acdc discover ioi --method {method.name}", "", _docstring_of(search.__module__), ""]
    lines += ["## Options", "", "| option | default | takes | what |", "|---|---|---|---|"]
    for option in method.options.values():
        cells = (f"`{option.name}`", f"`{option.default}`", described(option.kind), option.summary)
        lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    lines += ["", "Where it fails: [Methods, and where each fails](../methods.md)."]
    return "\n".join(lines)


def _part(name: str, part: type[Part]) -> str:
    asked = "Measured by default, as far as its cost allows." if part.by_default else "Measured where it is asked for."
    command = f"    acdc evaluate RUN --only {name}"
    value = f"::: {part.__module__}.{part.__name__}\n    options:\n      members: false"
    return "\n\n".join(
        [f"# {name}", f"{_sentence(part.summary)} {asked}", command, _docstring_of(part.__module__), value]
    )


def _role(role: Role) -> str:
    tested = "It is tested by an intervention." if role.test else "No intervention that it predicts is known."
    facts = {
        "score": role.definition,
        "measured on": role.evidence,
        "said from": f"{role.cut:g}{f' ({role.cut_source})' if role.cut_source else ''}",
        "source": role.source,
    }
    rows = [f"| {name} | {_cell(text)} |" for name, text in facts.items()]
    head = [f"# {role.name}", "", f"A head that {role.does}. {tested}", "", "| | |", "|---|---|", *rows, ""]
    task = " --task ioi" if role.evidence == "task prompts" else ""
    command = f'    acdc heads --model acdc-small --role "{role.name}"{task}'
    return "\n".join([*head, command, "", _docstring_of(role.measure.__module__)])


def _slug(role: Role) -> str:
    return role.name.replace(" ", "-")


def _docstring_of(module: str) -> str:
    """The place of a module's docstring in a page; mkdocstrings puts it there."""
    return f"::: {module}\n    options:\n      members: false\n      show_root_heading: false"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].removesuffix('.')}."


def _clean(text: str | None) -> str:
    return " ".join((text or "").split())


def _cell(text: str | None) -> str:
    return _clean(text).replace("|", "\\|").replace("<", "&lt;")
