# SPDX-License-Identifier: Apache-2.0
"""What must not outlast a co_await, and what must outlast a failure."""
import re

WORD = re.compile(r"[A-Za-z_]\w*")
LEAVES = re.compile(r"\b(?:co_return|return|break|continue|throw)\b")
PLACE = r"(?P<whole>(?:[\w:]+(?:\(\))?(?:\.|->))*[\w:]+)"
REFERENCE = re.compile(r"(?:&|&&)\s*(?P<name>\w+)\s*=\s*\*?" + PLACE + r"(?:\[|\.at\(|\.front\(\)"
                       r"|\.back\(\)|\.emplace_back\(|->at\()")
POINTER = re.compile(r"\*\s*(?:const\s+)?(?P<name>\w+)\s*=\s*&" + PLACE + r"(?:\[|\.at\(|\.front"
                     r"\(\)|\.back\(\)|->at\()")
ITERATOR = re.compile(r"\b(?:auto|iterator)\s+(?P<name>\w+|\[[^\]]*\])\s*=\s*" + PLACE +
                      r"(?:\.|->)(?P<how>find|lower_bound|upper_bound|begin(?=\(\))|emplace"
                      r"|try_emplace|insert|insert_or_assign|equal_range)\(")
RESULT = re.compile(r"[&*]\s*(?:const\s+)?(?P<name>\w+)\s*=\s*[&*]?"
                    r"(?P<whole>(?:self\.|this->)?\w+)\(")
GIVES = re.compile(r"[\w>](?:\s+const)?\s*[&*]\s*(?:\w+::)*(\w+)\(")
RANGE_FOR = re.compile(r"\bfor\s*\(")


def is_local(source, function, place):
    """Whether the container belongs to this coroutine, which then changes only by its own hand."""
    root = re.match(r"[\w:]+", place)[0]
    if root.endswith("_") or root in ("this", "self"):
        return False
    if "->" in place or "(" in place:
        return False
    begin, block = function
    text = source.code[begin:block[1]]
    return re.search(r"(?<![&*.>])(?<!& )(?<!\* )(?:[\w>\])}]|&&)\s+" + re.escape(root) +
                     r"\s*(?:[;={(,)]|$)", text) is not None or \
        re.search(r"\[[^\]]*\b" + re.escape(root) + r"\b[^\]]*\]\s*[=:]", text) is not None and \
        "." not in place


def leaves(source, position, limit):
    """Where the block ends that holds the position and is left at its end, inside `limit`."""
    for block in source.around(position):
        if block[0] <= limit:
            return None
        last = list(LEAVES.finditer(source.code, position, block[1]))
        if last and not source.code[source.statement_end(last[-1].start()) + 1:block[1]].strip():
            return block[1]
    return None


def waits_in(source, begin, end):
    for match in re.finditer(r"\bco_await\b", source.code[begin:end]):
        yield begin + match.start()


def used_after_wait(source, name, begin, end):
    """The position of a use that follows a co_await, or None."""
    use = re.compile(r"(?<![\w.])(?<!->)" + re.escape(name) + r"\b")
    for wait in waits_in(source, begin, end):
        after = source.statement_end(wait)
        statement = source.code.rfind(";", 0, wait)
        if re.search(r"\bco_return\s+(?:THAW_\w+\()?$", source.code[statement + 1:wait]):
            continue
        limit = leaves(source, wait, begin) or end
        spans = [(after, limit)]
        for block in source.around(wait):
            if block[0] > begin and source.is_loop(block) and limit > block[1] - 1:
                spans.append((block[0] - len(source.head(block)), block[1]))
        for first, last in spans:
            for match in use.finditer(source.code, first, last):
                rest = source.code[match.end():match.end() + 3].lstrip()
                if first == after and rest.startswith("=") and not rest.startswith("=="):
                    break
                return match.start()
    return None


def scope_of(source, position):
    """(begin, end) of what sees a name that is declared at the position."""
    opening = None
    for begin, close in source.pairs.items():
        if source.code[begin] == "(" and begin < position < close:
            head = source.code[max(0, begin - 12):begin].rstrip()
            if re.search(r"\b(?:if|while|for|switch)(?:\s+constexpr)?$", head) and \
                    (opening is None or begin > opening):
                opening = begin
    around = source.around(position)
    if opening is not None and (not around or opening > around[0][0]):
        close = source.pairs[opening]
        body = re.compile(r"\s*\{").match(source.code, close + 1)
        if body:
            return position, source.pairs.get(body.end() - 1, close)
        return position, source.statement_end(close + 1)
    return (position, around[0][1]) if around else (position, position)


PLACE_GIVEN = re.compile(r"\breturn\s+[&*]?\*?(?:\w+->second\b|[\w.>-]+_(?:\[|\.at\()"
                         r"|\w+\s*[!=]=[^;]*->second)")


def givers(sources):
    """Names of functions that give a reference or a pointer into a map, by their bodies."""
    names = set()
    for source in sources:
        for match in GIVES.finditer(source.code):
            close = source.pairs.get(match.end() - 1)
            body = close and re.compile(r"[\s\w]*\{").match(source.code, close + 1)
            if body and PLACE_GIVEN.search(
                    source.code, body.end(), source.pairs.get(body.end() - 1, body.end())):
                names.add(match[1])
    return names


def check_held(source, by_reference, giving):
    """A place in a container that others may change is not kept over a wait."""
    if "co_await" not in source.code:
        return
    what = "others run meanwhile and may remove it: look it up again after the wait, or keep a copy"
    for pattern in (REFERENCE, POINTER, ITERATOR, RESULT):
        for match in pattern.finditer(source.code):
            if pattern is RESULT and WORD.findall(match["whole"])[-1] not in giving:
                continue
            function = source.function_of(match.start())
            if not function or (pattern is not RESULT and
                                is_local(source, function, match["whole"])):
                continue
            begin, end = scope_of(source, match.start())
            names = WORD.findall(match["name"])[:1]
            if pattern is ITERATOR and match["how"] in ("find", "lower_bound", "upper_bound") and \
                    not re.search(r"\b" + re.escape(names[0]) + r"\s*[!=]=\s*[\w.>()-]*end\(\)",
                                  source.code[begin:end]):
                continue  # not an iterator
            for name in names:
                use = used_after_wait(source, name, source.statement_end(match.start()), end)
                if use is not None:
                    yield source.line_of(match.start()), \
                        f"{name} is a place in {match['whole']} and is used after a co_await " \
                        f"(line {source.line_of(use)}); {what}"
    for match in RANGE_FOR.finditer(source.code):
        close = source.pairs.get(match.end() - 1)
        if close is None:
            continue
        inside = source.code[match.end():close]
        colon = re.search(r"(?<!:):(?!:)", inside)
        if not colon or ";" in inside[colon.start():]:
            continue
        place = inside[colon.end():].strip()
        named = re.fullmatch(r"\*?((?:[\w:]+(?:\(\))?(?:\.|->))*)([\w:]+)(\(\))?", place)
        function = source.function_of(match.start())
        if not named or not function:
            continue
        if named[3]:
            if named[2] not in by_reference:
                continue
        elif is_local(source, function, named[1] + named[2]):
            continue
        elif not named[1] and not named[2].endswith("_") and not re.search(
                r"&\s*" + re.escape(named[2]) + r"\s*[,)=]",
                source.code[function[0]:match.start()]):
            continue
        body = re.compile(r"\s*\{").match(source.code, close + 1)
        end = source.pairs.get(body.end() - 1) if body else source.statement_end(close + 1)
        for wait in waits_in(source, close, end or close):
            if re.search(r"\bco_return\s+$", source.code[close:wait]) or \
                    leaves(source, wait, body.end() - 1 if body else close):
                continue
            yield source.line_of(match.start()), \
                f"walks {place} over a co_await (line {source.line_of(wait)}): others run " \
                "meanwhile and may change it; walk a copy, or keys that are looked up anew"
            break


def returns_by_reference(sources):
    """Names of functions that give a reference to what somebody else owns."""
    names = set()
    for source in sources:
        names.update(re.findall(r"&\s*(\w+)\(\)\s*(?:const\s*)?(?:noexcept\s*)?[{;]", source.code))
    return names


START = re.compile(r"(?:\.|->)start\(")
A_WAIT = re.compile(r"\b(?:sleep_for|sleep_until|yield|wait|wait_\w+|is_cancelled|next)\(")


def started(sources):
    """{(path, name) or qualified name} of coroutines that some TaskGroup runs."""
    names = set()
    for source in sources:
        for match in START.finditer(source.code):
            if match.end() - 1 not in source.pairs:
                continue
            arguments = list(source.arguments(match.end() - 1))
            if len(arguments) != 2:
                continue
            call = re.match(r"\s*([\w:]+)\(", source.code[slice(*arguments[1])])
            if call and "::" in call[1]:
                names.add("::".join(call[1].split("::")[-2:]))
            elif call:
                names.add((source.path, call[1]))
    return names


DEFINITION = re.compile(r"\bTask<[^;{}()]*>\s+((?:\w+::)*)(\w+)\(")


def check_ends(source, names):
    """A background loop outlives a round that fails."""
    for match in DEFINITION.finditer(source.code):
        qualified = "::".join((match[1] + match[2]).split("::")[-2:])
        if (source.path, match[2]) not in names and qualified not in names:
            continue
        close = source.pairs.get(match.end() - 1)
        body = close and re.compile(r"[\s\w]*\{").match(source.code, close + 1)
        if not body:
            continue
        end = source.pairs.get(body.end() - 1, body.end())
        for loop in re.finditer(r"\b(?:while\s*\((?!true)|while\s*\(true|for\s*\(\s*;)",
                                source.code[body.end():end]):
            opening = source.code.index("(", body.end() + loop.start())
            after = re.compile(r"\s*\{").match(source.code, source.pairs.get(opening, end) + 1)
            if not after or any(source.is_loop(b) for b in source.around(opening)
                                if b[0] >= body.end()):
                continue  # the loop around it is looked at
            yield from one_loop(source, match[2], after.end(), source.pairs[after.end() - 1])


def one_loop(source, name, begin, end):
    if not re.search(r"\bco_await\b", source.code[begin:end]):
        return
    for leave in re.finditer(r"\bTHAW_CO_TRY(?:_VOID)?\(|\bco_return\b([^;]*);",
                             source.code[begin:end]):
        position = begin + leave.start()
        if leave.group().startswith("THAW"):
            opening = begin + leave.end() - 1
            if A_WAIT.search(source.code[opening:source.pairs.get(opening, opening)]):
                continue
        else:
            value = leave[1].strip()
            heads = [source.head(b) for b in source.around(position) if b[0] >= begin - 1]
            heads.append(source.code[source.code.rfind(";", 0, position) + 1:position])
            if value in ("", "ok()") or "cancelled" in value or \
                    any("cancel" in head for head in heads):
                continue
        yield source.line_of(position), \
            f"ends the background loop {name} when one round fails: note the failure and go on " \
            "(async::every, async::Failures), or say why it may end"
