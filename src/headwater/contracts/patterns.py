"""Regular expressions that mean the same on every engine (RE2 and Java): a subset, and what is refused by name.

Patterns match a whole value. ``.`` is any character, line ends included (the engines differ on which line
ends they leave out, so none is).
"""

from __future__ import annotations

import re

from headwater.core.errors import ConfigError

__all__ = ["require_safe_pattern", "safe_pattern"]

_LONGEST = 1_000
_MOST_REPEATS = 1_000
_ESCAPES = set("dDwWtnr")
_LETTERS = ("L", "Lu", "Ll", "N")
_TOKEN = re.compile(
    r"(?P<escape>\\(?:[pP]\{[A-Za-z]+\}|.))|(?P<class>\[\^?(?:\\.|[^\]\\])+\])|(?P<group>\((?:\?.?)?)"
    r"|(?P<repeat>\{[0-9]+(?:,[0-9]*)?\}|[*+?])|(?P<plain>[^\[{(\\])|(?P<other>.)",
    re.DOTALL,
)


def safe_pattern(pattern: str) -> str:
    """The pattern as both engines take it. Raises ``ConfigError`` (``pattern.refused``).

    >>> safe_pattern("[A-Z]{2}-[0-9]+")
    '(?s)[A-Z]{2}-[0-9]+'
    """
    return f"(?s){require_safe_pattern(pattern)}"


def require_safe_pattern(pattern: str) -> str:
    """The pattern itself, where it is in the subset. Raises ``ConfigError`` (``pattern.refused``)."""
    if len(pattern) > _LONGEST:
        raise _refused(pattern, f"is longer than {_LONGEST:,} characters", "Split it into several rules.")
    before = ""
    for token in _TOKEN.finditer(pattern):
        kind = str(token.lastgroup)
        _require_known(pattern, kind, token.group(), before)
        before = _role(kind, before)
    try:
        re.compile(re.sub(r"\\([pP])\{\w+\}", "a", pattern))
    except re.error as error:
        raise _refused(pattern, f"cannot be read: {error}", "Check its brackets.") from None
    return pattern


def _role(kind: str, before: str) -> str:
    """What a token is to the next one: after a repeat and its ``?`` nothing repeats."""
    return "lazy" if kind == before == "repeat" else kind


def _require_known(pattern: str, kind: str, text: str, last: str) -> None:
    match kind:
        case "escape":
            _require_escape(pattern, text)
        case "class":
            _require_class(pattern, text)
        case "group" if text not in {"(", "(?:"}:
            raise _refused(
                pattern,
                f"holds '{text}': look-around, named groups and flags are not the same on all engines",
                "Write the condition without it, with plain ( ) or (?: ).",
            )
        case "repeat":
            _require_repeat(pattern, text, last)
        case "plain" if text in "^$":
            raise _refused(
                pattern,
                f"holds '{text}', and a pattern always matches the whole value",
                f"Leave '{text}' out, or write \\{text} for the sign itself.",
            )
        case "other":
            raise _refused(
                pattern, f"holds '{text}' where it stands for nothing", f"Write \\{text} for the sign itself."
            )
        case _:
            pass


def _require_escape(pattern: str, text: str) -> None:
    letters = re.fullmatch(r"\\[pP]\{(\w+)\}", text)
    if (letters and letters[1] in _LETTERS) or (
        len(text) == 2 and (text[1] in _ESCAPES or not text[1].isalnum())
    ):
        return
    raise _refused(
        pattern,
        f"holds '{text}', which is a back-reference or is not the same on all engines",
        r"Allowed are \d \w \t \n \r, \p{L} \p{Lu} \p{Ll} \p{N} and escaped signs; write [ \t] for blanks.",
    )


def _require_class(pattern: str, text: str) -> None:
    inside = text[1:-1].removeprefix("^")
    for escape in re.findall(r"\\[pP]\{\w+\}|\\.", inside, flags=re.DOTALL):
        _require_escape(pattern, escape)
    plain = re.sub(r"\\.", "", inside, flags=re.DOTALL)
    if "[" in plain or "&&" in plain or text.startswith(("[]", "[^]")):
        raise _refused(
            pattern, f"holds the class {text}, which engines read differently", r"Escape it: \[ \] \&."
        )


def _require_repeat(pattern: str, text: str, last: str) -> None:
    if last == "lazy" or (last == "repeat" and text != "?"):
        raise _refused(pattern, f"repeats a repeat ('{text}')", "Write one of * + ? {2,5} after each part.")
    if any(int(n) > _MOST_REPEATS for n in re.findall(r"\d+", text)):
        raise _refused(pattern, f"repeats {text} times", f"Repeat at most {_MOST_REPEATS:,} times.")


def _refused(pattern: str, what: str, do: str) -> ConfigError:
    shown = pattern if len(pattern) <= 80 else pattern[:79] + "…"
    return ConfigError(
        "pattern.refused",
        what=f"The pattern '{shown}' {what}.",
        why="The same rows must break a rule on every engine.",
        do=do,
    )
