"""The list of cases. A case is a function that returns its evidence, or raises Fail or Skip.

MUST and SHOULD are our own levels, not the words of an RFC. Cases marked `last` change how the next
hop behaves and run after all others.
"""
import importlib

FAMILIES = (
    "basic smuggling bdat protocol relaying header bounce resources tls auth log_text next_hop "
    "services"
)
CASES = []


def case(identity, title, level="MUST", refs="", last=False, timeout=None):
    def add(function):
        CASES.append(
            {
                "id": identity,
                "title": title,
                "level": level,
                "refs": refs,
                "function": function,
                "last": last,
                "timeout": timeout,
            }
        )
        return function

    return add


def load():
    """Fills CASES, family by family in this order."""
    for family in FAMILIES.split():
        importlib.import_module("cases." + family)
