# SPDX-License-Identifier: Apache-2.0
"""Names that are declared and not used, counts that nobody counts or shows."""
import collections
import re

KIND = re.compile(r"\s*(?:inline\s+)?(namespace|extern|class|struct|union|enum)\b")
Declared = collections.namedtuple("Declared", "name owner position kind")
# Names that the language or a library calls.
NEVER = {"begin", "end", "size", "hash", "swap", "operator", "value_type", "promise_type", "main",
         "to_json", "from_json", "is_transparent"}


def without_template(text):
    """The text with spaces for what says that it is a template, and of what kind."""
    while (match := re.match(r"\s*template\s*<", text)):
        depth, index = 0, match.end() - 1
        while index < len(text):
            depth += {"<": 1, ">": -1}.get(text[index], 0)
            index += 1
            if depth == 0:
                break
        text = " " * index + text[index:]
        wants = re.match(r"\s*requires\b[^;{]*?(?=\b(?:class|struct|inline|constexpr)\b)", text)
        if wants:
            text = " " * wants.end() + text[wants.end():]
    return text


def is_initialiser(head, after):
    """Whether a brace behind `head` gives a value, and what is declared goes on behind it."""
    plain = re.sub(r"operator\s*[=!<>]+|[=!<>]=", "", head)
    return "(" not in plain.split("=")[0] and \
        (re.search(r"[^=]=(?!=)", plain) is not None or after in (",", ";", ")"))


class Declarations:
    """What a header offers: types, functions, public members, constants."""

    def __init__(self, source):
        self.code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*",
                           lambda m: re.sub(r"[^\n]", " ", m.group()), source.code, flags=re.M)
        self.pairs = source.pairs
        self.found = []
        self.walk(0, len(self.code), None, True)

    def add(self, name, owner, position, kind):
        if name not in NEVER and not name.startswith("_"):
            self.found.append(Declared(name, owner, position, kind))

    def walk(self, begin, end, owner, public):
        """The statements between two positions: of a file, a namespace or a class."""
        code, index, statement = self.code, begin, begin
        while index < end:
            mark = code[index]
            if mark in "([" and index in self.pairs:
                index = self.pairs[index]
            elif mark == ":" and re.fullmatch(r"\s*(public|private|protected)\s*",
                                              code[statement:index]):
                public = "public" in code[statement:index]
                statement = index + 1
            elif mark == ";":
                self.declare(statement, index, owner, public)
                statement = index + 1
            elif mark == "{" and index in self.pairs:
                close = self.pairs[index]
                head = without_template(code[statement:index])
                if not is_initialiser(head, code[close + 1:close + 60].lstrip()[:1]) or \
                        KIND.match(head):
                    self.block(statement, index, owner, public)
                    semicolon = re.compile(r"\s*;").match(code, close + 1)
                    close = semicolon.end() - 1 if semicolon else close
                    statement = close + 1
                index = close
            index += 1

    def block(self, statement, opening, owner, public):
        """A namespace, a type or a function, from its head on."""
        head = without_template(self.code[statement:opening])
        kind = KIND.match(head)
        if kind and kind[1] in ("namespace", "extern"):
            self.walk(opening + 1, self.pairs[opening], owner, True)
        elif kind and "(" not in re.sub(r"\[\[.*?\]\]|alignas\([^)]*\)", "", head):
            name = re.search(r"\b(?:class|struct|union)\s+(?:\[\[\w+\]\]\s*)?([\w:]+)(\s*<)?", head)
            if kind[1] == "enum":
                name = re.search(r"\benum\s+(?:class\s+|struct\s+)?(\w+)()", head)
            if name and public and not name[2]:  # a specialisation is no declaration of its own
                self.add(name[1].split("::")[-1], owner, statement + name.start(1), "type")
            if kind[1] != "enum" and public:
                self.walk(opening + 1, self.pairs[opening], name[1] if name else owner,
                          kind[1] != "class")
        else:
            self.declare(statement, opening, owner, public)

    def declare(self, begin, end, owner, public):
        """One statement, or the head of a function."""
        text = without_template(self.code[begin:end])
        if not public or re.match(r"\s*(?:friend|static_assert|namespace|extern template)\b", text):
            return
        if "override" in text or "operator" in text or re.search(r"=\s*delete\s*$", text):
            return
        alias = re.match(r"\s*using\s+(\w+)\s*=", text)
        if alias:
            self.add(alias[1], owner, begin + alias.start(1), "type")
            return
        if re.match(r"\s*(?:using|class|struct|enum|typedef)\b", text):
            return
        text = re.sub(r"\[\[.*?\]\]|__attribute__\(\(.*?\)\)|alignas\([^)]*\)",
                      lambda m: " " * len(m.group()), text)
        bracket = text.find("(")
        equals = re.search(r"=|\{", text)
        if bracket >= 0 and not (equals and equals.start() < bracket):
            name = re.search(r"(~?\w+)\s*$", text[:bracket])
            if name and name[1] != owner and not name[1].startswith(("~", "THAW_")) and \
                    text[:name.start()].strip():
                self.add(name[1], owner, begin + name.start(1), "function")
            return
        text = text[:equals.start()] if equals else text
        name = re.search(r"\b([A-Za-z_]\w*)\s*(?:\[[^\]]*\]\s*)?$", text)
        if name and text[:name.start()].strip():
            self.add(name[1], owner, begin + name.start(1), "value")


def check_unused(sources):
    """(source, line, message) of declarations in product headers that nobody needs."""
    users = collections.defaultdict(list)
    for source in sources:
        for word in source.words:
            users[word].append(source)
    for source in sources:
        if source.path.suffix != ".h" or not source.is_product:
            continue
        declared = Declarations(source).found
        times = collections.Counter(d.name for d in declared)
        for one in declared:
            if source.words[one.name] > times[one.name]:
                continue
            others = [user for user in users[one.name] if user is not source]
            product = [user for user in others if not user.is_test]
            own = [user for user in product[:4] if is_own(user, source, one)]
            if len(product) > len(own):
                continue
            line = source.line_of(one.position)
            what = f"{one.owner}::{one.name}" if one.owner else one.name
            if any(user.words[one.name] > definitions(user, one) for user in own):
                # A member that its own class calls is its own matter, and so is an option; a test
                # of a part is a reason to declare it.
                if one.owner or one.kind == "value" or len(others) > len(product):
                    continue
                yield source, line, f"only {own[0].path} uses {what}: declare it there"
            elif len(others) > len(product):
                yield source, line, f"only tests use {what}: remove it, or say why it is there"
            else:
                yield source, line, f"nothing uses {what}"


def is_own(other, header, one):
    """Whether the file is the source behind the declaration."""
    if other.path.suffix != ".cc":
        return False
    if one.kind == "function":
        return definitions(other, one) > 0
    return other.path.parent == header.path.parent and other.path.stem == header.path.stem


def definitions(source, one):
    """How often the file says what the function does."""
    if one.kind != "function":
        return 0
    head = one.owner + "::" if one.owner else r"^[\w:<>\[][\w:<>&*,\[\] ]*?[\s&*]"
    count = 0
    for match in re.finditer(head + one.name + r"\(", source.code, re.M):
        close = source.pairs.get(match.end() - 1)
        if close and re.match(r"[\s\w&]*\{", source.code[close + 1:close + 80]):
            count += 1
    return count


COUNTERS = re.compile(r"\bstruct\s+(\w+(?:Counters|Counts)|\w*Stats)\s*\{")
FIELD = re.compile(r"\b(\w+)\s*(?:=[^;,]*|\{[^;]*\})?;")
SHOWN = re.compile(r"\.sample\(")


def is_read(sources, name):
    """Whether anything but counting is done with a member of that name."""
    use = re.compile(r"(?:\.|->)" + re.escape(name) + r"\b")
    for source in sources:
        for match in use.finditer(source.code):
            begin = max(source.code.rfind(mark, 0, match.start()) for mark in ";{}")
            after = source.code[match.end():match.end() + 8].lstrip()
            if "++" not in source.code[begin:match.start()] and \
                    not re.match(r"\+\+|\+=|=(?!=)", after):
                return True
    return False


def is_counted(sources, name):
    """Whether a member of that name grows or is set anywhere."""
    word = re.escape(name)
    counted = re.compile(
        r"(?:\+\+|--)[\w.>()\[\]-]*\b" + word + r"\b(?!\s*[(\w])"
        r"|(?:\.|->|\b)" + word + r"(?:\[[^\]]*\]|\(\))?\s*(?:\+\+|--|[-+|]=)"
        r"|(?:\.|->)" + word + r"(?:\[[^\]]*\])?\s*=(?!=)"
        r"|(?:\.|->)" + word + r"(?:\[|\.(?:push_back|emplace|insert|store|fetch_add)\b)")
    return any(counted.search(source.code) for source in sources)


def check_metrics(sources):
    """Each field of a struct of counts, and each value that is shown as a metric, is counted."""
    shown, kept = [], []
    for source in sources:
        for match in COUNTERS.finditer(source.code):
            begin = match.end()
            for field in FIELD.finditer(source.code, begin, source.pairs.get(begin - 1, begin)):
                kept.append((source, field.start(1), field[1]))
        if "PrometheusText" in source.code:
            for match in SHOWN.finditer(source.code):
                if match.end() - 1 not in source.pairs:
                    continue
                first = next(source.arguments(match.end() - 1))
                for value in re.finditer(r"(?:\.|->)([A-Za-z_]\w*)\b(?!\s*[(<.]|->)",
                                         source.code[slice(*first)]):
                    if value[1] not in ("first", "second"):
                        shown.append((source, first[0] + value.start(1), value[1]))
    users = collections.defaultdict(list)
    for source in sources:
        for word in source.words:
            users[word].append(source)
    for source, position, name in kept:
        if not is_read(users[name], name):
            yield source, source.line_of(position), \
                f"{name} is counted, and nothing shows it: show it in /metrics, or remove it"
    seen = set()
    for source, position, name in kept + shown:
        if name not in seen and not is_counted(users[name], name):
            yield source, source.line_of(position), \
                f"{name} is shown, and nothing counts it: count it where it happens, or remove it"
        seen.add(name)
