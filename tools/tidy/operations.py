# SPDX-License-Identifier: Apache-2.0
"""What a dialect serves has a row in its table of operations: a server without one does not start.

Tables are the files operations.cc, with rows {"NAME", …}; what is served stands beside them, as
add(table, cx, "NAME", …), add_once and add_stream. A second form of a name, NAME2 or NAMEV2, has
the row of the first."""
import re

ROW = re.compile(r'^\s*\{"(\w+)",', re.M)
SERVED = re.compile(r'\badd(?:_once|_stream)?\(\s*table,\s*cx,\s*"(\w+)"')
SECOND_FORM = re.compile(r"V?2$")


def check_operations(product):
    """Yields (source, line, message)."""
    rows = {source.path.parent: set(ROW.findall(source.raw)) for source in product
            if source.path.name == "operations.cc"}
    for source in product:
        for match in SERVED.finditer(source.raw):
            known = rows.get(source.path.parent)
            name = match.group(1)
            if known is not None and SECOND_FORM.sub("", name) not in known:
                yield (source, source.line_of(match.start()),
                       f"{name} is served and has no row in operations.cc: no server would start")
