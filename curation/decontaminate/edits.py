"""Where in a sequence a pattern stands with the fewest changes."""

from collections.abc import Sequence


def closest(pattern: Sequence[int], text: Sequence[int]) -> tuple[int, int, int]:
    """(changes, begin, end) of the part of ``text`` that differs least from ``pattern``.

    A change replaces, removes or adds one unit. Of equally close parts it is the one that ends first, and of these the
    shortest. Myers' bit-parallel algorithm (https://doi.org/10.1145/316542.316550) as Hyyrö gave it: a few
    operations on whole numbers of ``len(pattern)`` bits for each unit of the text.
    """
    changes, end = _closest_end(pattern, text)
    part = text[max(0, end - len(pattern) - changes) : end]
    _, length = _closest_end(pattern[::-1], part[::-1], anchored=True)
    return changes, end - length, end


def _closest_end(pattern: Sequence[int], text: Sequence[int], anchored: bool = False) -> tuple[int, int]:
    """(changes, end) of the closest part; ``anchored``: of those that begin where the text begins."""
    size = len(pattern)
    at: dict[int, int] = {}
    for place, unit in enumerate(pattern):
        at[unit] = at.get(unit, 0) | 1 << place
    everything, last, carry = (1 << size) - 1, 1 << (size - 1), int(anchored)
    more, less, score = everything, 0, size
    best, end = score, 0
    for number, unit in enumerate(text, start=1):
        same = at.get(unit, 0)
        vertical = same | less
        horizontal = (((same & more) + more) ^ more) | same
        up = less | ~(horizontal | more)
        down = more & horizontal
        if up & last:
            score += 1
        elif down & last:
            score -= 1
            if score < best:
                best, end = score, number
        up = up << 1 | carry
        more = (down << 1 | ~(vertical | up)) & everything
        less = up & vertical & everything
    return best, end
