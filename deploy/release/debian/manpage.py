"""ostiary(1), written from the command line's own description, so that both say the same.

Macros: man(7). Nothing depends on a terminal's width or on the Python that builds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime

_TAIL = """\
.SH FILES
.TP
.I /etc/ostiary/ostiary.yaml
Configuration of the service.
.TP
.I /var/lib/ostiary
Gallery, events that wait, and installed bundles of the service.
.TP
.I /usr/share/doc/ostiary/examples/ostiary.yaml
Every key of the configuration, explained.
.SH EXIT STATUS
0 clean, 2 configuration or usage, 3 camera or broker unavailable, 4 bundle, model or gallery rejected, 1 anything else.
.SH SEE ALSO
.BR ostiaryctl (1),
.BR systemctl (1),
.BR journalctl (1)
"""


def manpage(parser: argparse.ArgumentParser, version: str, epoch: int) -> str:
    """The whole page; `epoch` in seconds since 1970 dates it."""
    date = datetime.fromtimestamp(epoch, UTC).date().isoformat()
    head = f'.TH OSTIARY 1 "{date}" "ostiary {version}" "User Commands"\n.SH NAME\nostiary \\- face recognition for doors, on the edge\n'
    synopsis = ".SH SYNOPSIS\n.B ostiary\n.I COMMAND\n[\\fIOPTION\\fR]...\n"
    parts = [head, synopsis, ".SH DESCRIPTION\n", _text(parser.description or ""), ".SH OPTIONS\n", *_options(parser)]
    parts.append(".SH COMMANDS\n")
    for words, command in _commands(parser, ()):
        parts.append(f".SS {_escaped(' '.join(('ostiary', *words)))}\n")
        parts += [_text(command.description or ""), *_options(command)]
        parts.append(_example(command.epilog))
    return "".join([*parts, _TAIL])


def _commands(
    parser: argparse.ArgumentParser, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to list them
        if action.nargs == argparse.PARSER and isinstance(action.choices, dict):
            for name, command in action.choices.items():
                yield (*words, name), command
                yield from _commands(command, (*words, name))


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to list them
        if action.nargs == argparse.PARSER or action.help == argparse.SUPPRESS:
            continue
        yield f".TP\n{_name(action)}\n{_text((action.help or '').replace('%%', '%'))}"


def _name(action: argparse.Action) -> str:
    """`-o, --output DIR`, or `PICTURE...`."""
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.choices is not None and action.metavar is None:
        metavar = "|".join(str(choice) for choice in action.choices)
    value = "" if action.nargs == 0 else f"\\fI{_escaped(metavar)}\\fR"
    if not action.option_strings:
        return value + ("..." if action.nargs in {"+", "*"} else "")
    names = ", ".join(f"\\fB{_escaped(name)}\\fR" for name in action.option_strings)
    return f"{names} {value}".rstrip()


def _example(text: str | None) -> str:
    """Lines as they stand: commands to type."""
    return f".PP\n.nf\n{_text(text)}.fi\n" if text else ""


def _text(text: str) -> str:
    return "".join(f"{_escaped(line)}\n" if line.strip() else ".PP\n" for line in text.strip().splitlines())


def _escaped(text: str) -> str:
    """For roff: a hyphen that can be copied, and no line that begins as a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    return f"\\&{escaped}" if escaped.lstrip()[:1] in {".", "'"} else escaped
