"""Make the man pages and shell completions that the wheel ships: `python scripts/pages.py` writes contrib/wheel/data.

They are made from the commands themselves; tests/test_pages.py shows that the files are up to date.
"""

import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click
from click.shell_completion import get_completion_class
from click_man.man import ManPage

from tallystick.cli import cli
from tallystick.cli.command import Option

SHARE = Path(__file__).resolve().parents[1] / "contrib" / "wheel" / "data" / "share"
_COMPLETIONS = {
    "bash": "bash-completion/completions/tallystick",
    "zsh": "zsh/site-functions/_tallystick",
    "fish": "fish/vendor_completions.d/tallystick.fish",
}


def pages() -> dict[str, str]:
    """Return what each file below `share` holds, by its path there."""
    made = {f"man/man1/{name}.1": page for name, page in _manual("tallystick", cli, None)}
    for shell, path in _COMPLETIONS.items():
        kind = get_completion_class(shell)
        assert kind is not None
        # Not `source()`: that runs the shell to see whether it is new enough.
        completion = kind(cli, {}, "tallystick", "_TALLYSTICK_COMPLETE")
        made[path] = completion.source_template % completion.source_vars() + "\n"
    return made


def _manual(name: str, command: click.Command, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    """Give the pages of a command and of those below it, with their names."""
    ctx = click.Context(command, info_name=name, parent=parent)
    yield ctx.command_path.replace(" ", "-"), _page(ctx)
    if isinstance(command, click.Group):
        for each, below in command.commands.items():
            yield from _manual(each, below, ctx)


def _page(ctx: click.Context) -> str:
    command = ctx.command
    page = ManPage(ctx.command_path)
    page.date = ""  # so that the same commands make the same page
    page.version = "tallystick"
    page.short_help = _roff(command.get_short_help_str(100))
    page.description = _roff(cleandoc(command.help or ""))
    page.synopsis = " ".join(command.collect_usage_pieces(ctx))
    options = [one for one in command.params if isinstance(one, click.Option)]
    records = [record for one in options if (record := one.get_help_record(ctx)) is not None]
    page.options = [(name, _roff(text)) for name, text in records]
    if isinstance(command, click.Group):
        page.commands = [(name, _roff(one.get_short_help_str(100))) for name, one in command.commands.items()]
    return str(page) + _variables(options) + _epilog(command)


def _variables(options: list[click.Option]) -> str:
    rows = [(one.opts[0], one.envvar) for one in options if isinstance(one, Option) and one.envvar]
    lines = [f".TP\n\\fB{name}\\fP\nsets \\fB{_roff(option)}\\fP." for option, name in rows]
    return "\n".join([".SH ENVIRONMENT", *lines, ""]) if lines else ""


def _epilog(command: click.Command) -> str:
    """Return the exit status, if the help names it, and the example."""
    before, found, after = (command.epilog or "").partition("Example:")
    text = f".SH EXIT STATUS\n{_roff(before.strip().removeprefix('Exit status: '))}\n" if before.strip() else ""
    if found:
        lines = after.replace("\b", "").strip().splitlines()
        text += "\n".join([".SH EXAMPLE", ".nf", *(_roff(line.strip()) for line in lines), ".fi", ""])
    return text


def _roff(text: str) -> str:
    """Return text in which nothing is an order to the typesetter."""
    lines = text.replace("\b\n", "").replace("\\", "\\e").replace("-", r"\-").split("\n")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in lines)


def main() -> None:
    """Write the files, and remove those of commands that are gone."""
    wanted = pages()
    for path in SHARE.rglob("*"):
        if path.is_file() and str(path.relative_to(SHARE)) not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (SHARE / name).parent.mkdir(parents=True, exist_ok=True)
        (SHARE / name).write_text(text, encoding="utf-8")
    sys.stdout.write(f"{len(wanted)} files are in {SHARE}\n")


if __name__ == "__main__":
    main()
