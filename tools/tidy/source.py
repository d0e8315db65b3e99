# SPDX-License-Identifier: Apache-2.0
"""One C++ file as the rules of tools/thaw-tidy see it: blocks, heads, statements, exceptions."""
import bisect
import collections
import re

RULES = ("unused", "metric", "held", "ends")
MARK = re.compile(r"//\s*tidy\((\w+)\)(: \S.*)?")
NOLINT = re.compile(r"\bNOLINT(?:NEXTLINE|BEGIN)?\b(?!END)(\([^)]*\))?(: \S)?")
LITERAL = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<raw>\w*)\(.*?\)(?P=raw)"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Za-z_])'(?:\\.|[^'\\\n])+'", re.S)
WORD = re.compile(r"[A-Za-z_]\w*")


def blank(text):
    """The text without comments and literals; every position stays where it is."""
    def same_shape(match):
        piece = match.group()
        inner = re.sub(r"[^\n]", " ", piece)
        return piece[0] + inner[1:-1] + piece[-1] if piece[0] in "\"'" else inner
    return LITERAL.sub(same_shape, text)


def is_test(path):
    name = path.as_posix()
    return name.startswith(("tests/", "bench/")) or "/testing/" in name or \
        path.stem.endswith(("_test", "_bench"))


class Source:
    """One file: its text without comments and literals, and where its blocks are."""

    def __init__(self, path, text):
        self.path = path
        self.raw = text
        self.code = blank(text)
        self.words = collections.Counter(WORD.findall(self.code))
        self.is_test = is_test(path)
        self.is_product = path.parts[0] == "thaw" and not self.is_test
        self.lines = text.split("\n")
        self._starts = [0] + [m.end() for m in re.finditer("\n", text)]
        self.pairs = {}     # of ( [ {: where it closes
        self.blocks = []    # (open, close) of braces, outer before inner
        stack = []
        for match in re.finditer(r"[(){}\[\]]", self.code):
            mark = match.group()
            if mark in "([{":
                stack.append((mark, match.start()))
            elif stack and stack[-1][0] + mark in ("()", "[]", "{}"):
                kind, begin = stack.pop()
                self.pairs[begin] = match.start()
                if kind == "{":
                    self.blocks.append((begin, match.start()))
        self.blocks.sort()

    def line_of(self, position):
        return bisect.bisect_right(self._starts, position)

    def excused(self, line, rule):
        """Whether this line, or a comment that ends above it, gives a reason."""
        near = line - 1
        while True:
            mark = MARK.search(self.lines[near - 1]) if near > 0 else None
            here = MARK.search(self.lines[line - 1])
            if (here and here[1] == rule and here[2]) or (mark and mark[1] == rule and mark[2]):
                return True
            if near <= 1 or not self.lines[near - 1].lstrip().startswith("//"):
                return False
            near -= 1

    def around(self, position):
        """The blocks that hold the position, innermost first."""
        return [b for b in reversed(self.blocks) if b[0] < position < b[1]]

    def head(self, block):
        """What stands before a block, back to the end of the statement before."""
        begin = block[0]
        text = self.code[max(0, begin - 600):begin]
        depth = 0
        for index in range(len(text) - 1, -1, -1):
            mark = text[index]
            if mark in ")]":
                depth += 1
            elif mark in "([":
                depth -= 1
            elif depth <= 0 and mark in ";{}":
                return text[index + 1:]
        return text

    def is_loop(self, block):
        return re.match(r"\s*(?:while|for|do)\b", self.head(block)) is not None

    def statement_end(self, position):
        """Where the statement or the condition that holds the position ends."""
        index = position
        while index < len(self.code):
            mark = self.code[index]
            if mark in "([{" and index in self.pairs and mark != "{":
                index = self.pairs[index]
            elif mark == "{":
                close = self.pairs.get(index)
                # An initialiser or a lambda goes on; a body begins the next statement.
                after = self.code[close + 1:close + 40].lstrip() if close else ""
                if close and after[:1] in ");,.":
                    index = close
                else:
                    return index
            elif mark in ";}":
                return index
            index += 1
        return len(self.code)

    def function_of(self, position):
        """(where it begins, with its head; its block), or None."""
        for block in reversed(self.around(position)):
            head = self.head(block)
            if "(" in head and not re.match(r"\s*(?:extern\b|namespace\b)", head):
                return block[0] - len(head), block
        return None

    def arguments(self, opening):
        """What stands between brackets, piece by piece, as (begin, end)."""
        close, begin, index = self.pairs[opening], opening + 1, opening + 1
        while index < close:
            if self.code[index] in "([{" and index in self.pairs:
                index = self.pairs[index]
            elif self.code[index] == ",":
                yield begin, index
                begin = index + 1
            index += 1
        yield begin, close


def check_marks(source):
    """Exceptions name their rule and their reason."""
    for number, line in enumerate(source.lines, 1):
        mark = MARK.search(line)
        if mark and (mark[1] not in RULES or not mark[2]):
            yield number, f"say what for and why: // tidy({'|'.join(RULES)}): the reason"
        silence = NOLINT.search(line)
        if silence and not (silence[1] and silence[2]):
            yield number, "say which check and why: // NOLINT(check): the reason"
