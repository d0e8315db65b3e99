# SPDX-License-Identifier: Apache-2.0
"""The rules of tools/thaw-tidy that read C++ a little deeper than line by line.

No compiler: names stand for what they name, so a rule may overlook something but seldom accuses
wrongly. Where it does, or where the thing is meant, the line or the one above says why:

    // tidy(unused): the reason        a declaration that only its own source or a test uses
    // tidy(metric): the reason        a count that nothing counts
    // tidy(held): the reason          a place in a container, kept over a wait
    // tidy(ends): the reason          a background loop that ends when one round fails
"""
from tidy import names, operations, waits
from tidy.source import Source, check_marks


def check(texts):
    """Yields (path, line, message) for {path: text} of all C++ files of the tree."""
    sources = [Source(path, text) for path, text in texts.items()]
    product = [source for source in sources if source.is_product]
    by_reference, started = waits.returns_by_reference(product), waits.started(product)
    giving = waits.givers(product)

    def found(rule, source, line, message):
        if not source.excused(line, rule):
            yield source.path, line, f"{message} [{rule}]"

    for source in sources:
        for line, message in check_marks(source):
            yield source.path, line, message
    for source in product:
        for line, message in waits.check_held(source, by_reference, giving):
            yield from found("held", source, line, message)
        for line, message in waits.check_ends(source, started):
            yield from found("ends", source, line, message)
    for source, line, message in names.check_unused(sources):
        yield from found("unused", source, line, message)
    for source, line, message in names.check_metrics(product):
        yield from found("metric", source, line, message)
    for source, line, message in operations.check_operations(product):
        yield source.path, line, message
