"""What the parser says about a wrong call in a box of text, said in one sentence."""

from __future__ import annotations

import re

_RULE = re.compile(r"[-─]{4,}")
_KINDS = {"INT": "a whole number", "FLOAT": "a number", "PATH": "a path", "STR": "a text"}


def in_one_sentence(box: str) -> str:
    """Return what was expected and what came, from the parser's box of text.

    Each kind of complaint is known by its words; one that is not known is passed on without its frame.
    """
    sections = _sections(box)
    body = sections[0] if sections else []
    text = " ".join(line.strip() for line in body)
    return (
        _missing(body)
        or _without_value(text)
        or _not_a_choice(text)
        or _not_a_value(text, sections)
        or _unknown(text, sections)
        or _without_subcommand(text)
        or text.rstrip(".")
        or "the call cannot be understood"
    )


def _sections(box: str) -> list[list[str]]:
    """The lines of each part between two rules, their indentation kept; the title is no part."""
    sections: list[list[str]] = [[]]
    for line in box.splitlines():
        content = line.strip("│|╭╮╰╯ ")
        if line.lstrip().startswith(("╭", "╰")) or _RULE.fullmatch(content):
            sections.append([])
        elif content:
            sections[-1].append(line.replace("│", " ").rstrip())
    return [section for section in sections[1:] if section]


def _missing(body: list[str]) -> str:
    """Required arguments that are not there."""
    if not body or not body[0].strip().startswith("Missing from"):
        return ""
    indents = [len(line) - len(line.lstrip()) for line in body[1:]]
    names = [
        line.split(", ")[-1].split() for line, indent in zip(body[1:], indents, strict=True) if indent == min(indents)
    ]
    listed = " and ".join([", ".join(words[0] for words in names[:-1]), names[-1][0]][len(names) == 1 :])
    command = body[0].split("sightline", 1)[-1].strip(" :")
    return f"{command}: expected {listed}, which {'is' if len(names) == 1 else 'are'} missing"


def _without_value(text: str) -> str:
    found = re.search(r"Missing value for argument '(?:[^']*/)?([^'/]+)'", text)
    return f"{found[1]}: expected a value after it, got none" if found else ""


def _not_a_choice(text: str) -> str:
    found = re.search(r"invalid choice '(.*)' for argument '(?:[^']*/)?([^'/]+)'\. Expected one of \((.*?),?\)", text)
    if not found:
        return ""
    names = found[3].replace("'", "").split(", ")
    if "None" in names:  # an option that may be left out; the parser lists its choices in no order
        names = sorted(set(names) - {"None"}, key=lambda name: (len(name), name))
    return f"{found[2]}: expected {_one_of(', '.join(names))}, got '{found[1]}'"


def _not_a_value(text: str, sections: list[list[str]]) -> str:
    found = re.search(r"Error parsing (?:\S*/)?([^\s:/]+): .*?\[?'(.*?)'\]?\.?(?: Got errors|$)", text)
    if not found:
        return ""
    told = " ".join(line.strip() for section in sections[1:] for line in section)
    metavar = re.search(rf"{re.escape(found[1])} (\S+)", told)
    words = (metavar[1] if metavar else "").replace("{None}|", "").strip("[]")
    return f"{found[1]}: expected {_KINDS.get(words, 'another kind of value')}, got '{found[2]}'"


def _unknown(text: str, sections: list[list[str]]) -> str:
    """Words that are no option, no command, or one argument too many."""
    found = re.search(r"Unrecognized (?:or misplaced )?options: (\S+?),?(?: |$)", text)
    if not found:
        return ""
    told = [" ".join(line.strip() for line in section) for section in sections[1:]]
    for other in told:
        if other.startswith("Available subcommands: "):
            return f"{found[1]}: expected {_one_of(other.removeprefix('Available subcommands: '))}"
        if meant := re.match(r"Perhaps you meant: (?:-\w(?: \S+)?, )?(--[\w-]+)", other):
            return f"{found[1]}: there is no such option here, perhaps {meant[1]} is meant"
    what = "no such option is known" if found[1].startswith("-") else "one argument too many"
    return f"{found[1]}: {what}"


def _without_subcommand(text: str) -> str:
    found = re.search(r"Expected one of \{(.*)\}", text)
    return f"expected a command, {_one_of(found[1])}" if found else ""


def _one_of(names: str) -> str:
    """`a, b, c` → `one of a, b, c`; a single name stands alone."""
    return f"one of {names}" if "," in names else names
