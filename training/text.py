"""Text of unknown origin, on its way to a terminal or a program."""


def escaped(text: str | None) -> str | None:
    """A text of unknown origin in which nothing is left that a terminal or a program would act on."""
    if text is None:
        return None
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
