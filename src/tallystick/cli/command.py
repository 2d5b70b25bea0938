"""The base of all commands: `--quiet`, a help that fits a screen, options that also come from the environment."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

__all__ = ["Command", "Option", "is_quiet", "option"]

F = TypeVar("F", bound=Callable[..., Any])
_PREFIX = "TALLYSTICK_"
_QUIET = "tallystick.cli.quiet"


class Option(click.Option):
    """An option that an environment variable can set; errors name the variable where the value came from it."""

    def get_error_hint(self, ctx: click.Context | None) -> str:
        source = ctx.get_parameter_source(self.name) if ctx is not None and self.name else None
        return f"{self.envvar}" if source is ParameterSource.ENVIRONMENT else click.Parameter.get_error_hint(self, ctx)

    def get_help_extra(self, ctx: click.Context) -> Any:
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)  # it would often take a line of its own, and errors name it
        return extra


def option(name: str, *more: str, **settings: Any) -> Callable[[F], F]:
    """Return an option that also comes from the environment variable TALLYSTICK_ and its name, or `envvar`."""
    variable = _PREFIX + name.removeprefix("--").replace("-", "_").upper()
    return click.option(name, *more, **{"cls": Option, "envvar": variable, **settings})


def _note_quiet(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta[_QUIET] = value


def is_quiet() -> bool:
    """Did the user ask for results and errors only?"""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and bool(ctx.meta.get(_QUIET))


class Command(click.Command):
    """A command with `--quiet`, whose help names the variable of each option."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params.append(
            Option(
                ["--quiet", "-q"],
                is_flag=True,
                expose_value=False,
                callback=_note_quiet,
                envvar="TALLYSTICK_QUIET",
                help="Print only results and errors.",
            )
        )

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, and then their variables, which would take a line each beside them."""
        super().format_options(ctx, formatter)
        names = [str(one.envvar).removeprefix(_PREFIX) for one in self.params if isinstance(one, Option) and one.envvar]
        with formatter.section(f"Environment variables, with {_PREFIX} in front"):
            formatter.write_text(", ".join(names))
