"""Command lines as runc takes them: Go flags, so -x and --x are one, and the first argument ends the options.

Own code because importing argparse costs more than the delegate's whole run.
"""

from __future__ import annotations

from teemate_runtime.oci.failure import Failure, nearest

# A table of options: name -> does it take a value? One-letter names are aliases and name their option.
Table = dict[str, bool | str]


class Options:
    """The options of one command in the order given, and the arguments after them."""

    __slots__ = ("arguments", "given")

    def __init__(self, given: list[tuple[str, str | None]], arguments: list[str]) -> None:
        self.given = given
        self.arguments = arguments

    def value(self, name: str) -> str | None:
        """The last value given for `name`."""
        for key, value in reversed(self.given):
            if key == name:
                return value
        return None

    def flag(self, name: str) -> bool:
        return any(key == name for key, _ in self.given)

    def command_line(self, *, without: tuple[str, ...] = ()) -> list[str]:
        """The options again, for the delegate."""
        return [f"--{key}" if value is None else f"--{key}={value}" for key, value in self.given if key not in without]


def parse(words: list[str], table: Table, *, command: str) -> Options:
    given: list[tuple[str, str | None]] = []
    position = 0
    while position < len(words):
        word = words[position]
        if not word.startswith("-") or word == "-":
            break
        position += 1
        if word == "--":
            break
        name, equals, text = word.lstrip("-").partition("=")
        kind = table.get(name)
        if isinstance(kind, str):
            name, kind = kind, table[kind]
        if kind is None:
            known = tuple(key for key in table if len(key) > 1)
            raise Failure(f"flag provided but not defined: -{name}", remedy=f"{command}: {nearest(name, known)}")
        if kind is False:
            if not equals or text in ("true", "1"):
                given.append((name, None))
            elif text not in ("false", "0"):
                raise Failure(f"invalid boolean value {text!r} for -{name}", remedy="give true or false")
        elif equals:
            given.append((name, text))
        elif position < len(words):
            given.append((name, words[position]))
            position += 1
        else:
            raise Failure(f"flag needs an argument: -{name}")
    return Options(given, words[position:])


def container_id(options: Options, *, command: str) -> str:
    """The only argument of most commands."""
    if len(options.arguments) != 1:
        raise Failure(f"{command}: exactly one argument is needed, the container id; got {len(options.arguments)}")
    return checked_id(options.arguments[0])


def checked_id(name: str) -> str:
    """Refuse what could be a path: the id names files below the delegate's root and the lease."""
    allowed = all(char.isalnum() or char in "_+-." for char in name)
    if not name or not name.isascii() or not allowed or name in (".", ".."):
        raise Failure(f"invalid container id {name!r}", remedy="use letters, digits and _ + - .")
    return name


def count_option(options: Options, name: str) -> int:
    text = options.value(name) or "0"
    if not text.isdecimal() or int(text) > 1024:
        raise Failure(f"invalid value {text!r} for -{name}", remedy="give a number of descriptors, 0 to 1024")
    return int(text)
