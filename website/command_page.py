"""The command `patchcore` as a page that reads as a manual's, from what it says of itself."""

import re
from inspect import cleandoc

import click

from patchcore_suite.parts.command import main


def command_page() -> str:
    """What each command does, takes and says."""
    context = click.Context(main, info_name="patchcore")
    parts = ["# patchcore", described(main), options(main, context)]
    for name, command in main.commands.items():
        parts += section(command, click.Context(command, info_name=name, parent=context))
    return "\n\n".join(filter(None, parts))


def section(command: click.Command, context: click.Context) -> list[str]:
    """One command, and those that it has."""
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"## {context.command_path}", f"```text\n{usage}\n```", described(command), options(command, context)]
    for name, inner in getattr(command, "commands", {}).items():
        parts += section(inner, click.Context(inner, info_name=name, parent=context))
    return parts


def described(command: click.Command) -> str:
    """A command's help; paragraphs that keep their lines, marked with \\b, as code."""
    paragraphs = re.split(r"\n\s*\n", cleandoc(command.help or ""))
    return "\n\n".join(
        "```sh\n" + text.removeprefix("\b\n") + "\n```" if text.startswith("\b") else text for text in paragraphs
    )


def options(command: click.Command, context: click.Context) -> str:
    """A table of options, but of the one that every command has."""
    chosen = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    rows = [record for parameter in chosen if (record := parameter.get_help_record(context))]
    cells = [(name.replace("|", "\\|"), text.replace("|", "\\|")) for name, text in rows]
    return "| option | what it does |\n|---|---|\n" + "\n".join(f"| `{n}` | {t} |" for n, t in cells) if cells else ""
