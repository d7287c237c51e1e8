"""Whether a reply is right. Change it to fit your problems; `rise judge` tries it on replies in a file."""


def right(reply: str, gold: str) -> bool:
    """The last line of a reply is the gold answer; capitals count as small letters. A share from 0 to 1 is taken too."""
    lines = reply.strip().splitlines()
    return bool(lines) and lines[-1].strip(" .").casefold().split() == gold.casefold().split()
