"""Makes random templates with variables: most of what chat templates do, and much of what they could."""

import random

STRINGS = ["''", "'a'", "'ab c'", r"'\n'", "' x '", "'user'", '"it\'s"', "'é'", "'ǆ ß İ Σ'", "'<b>&'",
           "'a-b_c'", "'1'", "' 12 '", "'3.5'", r"'\t'", "'A.B.C'", r"'😀e\u0301'", r"'\x41'",
           r"'a\\b'", "'{{'", "'Hello World'", "'%s'", "'a,b,,c'", "'x' 'y'", r"'l1\nl2\n\n l3'"]
NAMES = ["s", "u", "m.role", "m.content", "message.content", "messages[0].content", "ns.t", "t.name",
         "messages[-1]['role']", "bos_token"]
INTEGERS = ["0", "1", "2", "3", "5", "7", "10", "-1", "-2", "100", "n", "ns.c", "k", "0x1F", "1_000",
            "12345678901234567890"]
REALS = ["1.5", "0.1", "1e3", "2.0", "1e20", "1e-7", "-0.0", "2.5", "d.f", "0.5", "(2 ** 0.5)", "(2 ** -1)"]
LISTS = ["messages", "z", "[]", "['b', 'A', 'a']", "[1, 2, 3]", "range(3)", "[[1], [2, 3]]", "(1, 2)",
         "('a',)", "()", "[3, 1, 2]", "pairs", "[1, 'a', none, 1.0, true]"]
MAPPINGS = ["messages[0]", "m", "t", "d", "{}", "{'a': 1, 'b': [1.5, none, true]}", "d.inner",
            "{1: 'x', 'b': 2}", "dict(b=1, a=2)", "dict([('q', 1)])", "{'B': 3, 'a': 1}"]
TEXTS = ["", "", " ", "\n", "\n\n", "  \n  ", "a", "x y\n", "\t", "   ", "é\n", " { ", "}", "#", "%",
         "<|im_end|>\n", "\r\n", "- "]
STRING_FILTERS = ["trim", "upper", "lower", "capitalize", "title", "string", "safe", "e", "escape",
                  "forceescape", "urlencode", "wordcount", "striptags", "truncate(5)",
                  "truncate(6, true)", "truncate(5, false, '..', 0)", "center(10)", "center(7)",
                  "wordwrap(4)", "wordwrap(5, false)", "wordwrap(6, wrapstring='|')", "length", "first",
                  "last", "reverse", "list", "int", "float", "int(5)", "int(base=16)", "float(2.5)",
                  "indent", "indent(2)", "indent(2, true)", "indent('> ', blank=true)", "trim('a')",
                  "tojson", "replace('a', 'b')", "replace('', '-', 2)", "default('x')", "default('x', true)",
                  "join('-')", "batch(2) | list", "unique | list", "sort | join", "max", "min", "pprint",
                  "filesizeformat", "title | swap", "format", "attr('x')", "urlize"]
SAFE_STRING_FILTERS = STRING_FILTERS[:STRING_FILTERS.index("length")] + [
    "reverse", "indent(2, true)", "indent('> ', blank=true)", "trim('a')", "tojson", "replace('a', 'b')",
    "default('x')", "urlize", "pprint"]
SAFE_STRING_METHODS = [
    "strip()", "lstrip()", "rstrip()", "strip('a ')", "rstrip('c')", "upper()", "lower()", "title()",
    "capitalize()", "swapcase()", "casefold()", "replace('a', 'bb')", "replace('a', '', 1)",
    "removeprefix('a')", "removesuffix('c')", "zfill(6)", "center(9, '*')", "ljust(5)",
    "rjust(6, '.')", "expandtabs(4)", "split()[0] | string", "join(['x', 'y'])",
    "partition('-')[0]"]
STRING_METHODS = ["strip()", "lstrip()", "rstrip()", "strip('a ')", "lstrip(' x')", "rstrip('c')",
                  "upper()", "lower()", "title()", "capitalize()", "swapcase()", "casefold()",
                  "split()", "split(' ')", "split('a', 1)", "split(none, 1)", "rsplit(' ', 1)",
                  "rsplit(maxsplit=1)", "splitlines()", "splitlines(true)", "partition('-')",
                  "rpartition(' ')", "replace('a', 'bb')", "replace('a', '', 1)", "find('a')",
                  "rfind('a')", "find('b', 1)", "count('a')", "count('')", "startswith('a')",
                  "endswith(('c', ' '))", "startswith('b', 1)", "removeprefix('a')", "removesuffix('c')",
                  "zfill(6)", "center(9, '*')", "ljust(5)", "rjust(6, '.')", "expandtabs(4)", "isdigit()",
                  "isalpha()", "isalnum()", "isupper()", "islower()", "istitle()", "isspace()",
                  "isnumeric()", "isdecimal()", "isidentifier()", "isascii()", "isprintable()",
                  "join(['x', 'y'])", "format(1, a=2)", "index('a')", "translate({97: 'Q', 98: none})"]
NUMBER_FILTERS = ["abs", "float", "int", "round", "round(1)", "round(2, 'floor')", "round(1, 'ceil')",
                  "round(-1)", "string", "filesizeformat", "filesizeformat(true)", "tojson", "default(3)",
                  "pprint"]
LIST_FILTERS = ["list", "reverse | list", "sort", "sort(reverse=true)", "sort(case_sensitive=true)",
                "unique | list", "batch(2) | list", "batch(2, 'x') | list", "slice(2) | list",
                "slice(3, 'y') | list", "first", "last", "length", "count", "max", "min", "sum", "join",
                "join(', ')", "map('string') | list", "map('upper') | join('|')", "map('length') | list",
                "select | list", "reject | list", "select('string') | list", "reject('none') | list",
                "select('odd') | list", "map('default', 'z') | list", "tojson", "tojson(indent=2)",
                "string", "map(attribute='role') | list", "map(attribute=0) | list",
                "map(attribute='0') | list", "map(attribute='x.y', default='q') | list",
                "selectattr('role', 'equalto', 'user') | list", "rejectattr('content') | list",
                "selectattr('role', 'in', ['user']) | map(attribute='content') | list",
                "groupby('role')", "groupby('role') | map(attribute='grouper') | list",
                "sort(attribute='role')", "sort(attribute='role,content')", "sum(attribute='n')",
                "sum(start=10)", "max(attribute='role')", "unique(attribute='role') | list", "pprint",
                "join(attribute='role')", "join('-', attribute=0)", "sum(start=[])", "map('int', 7) | list",
                "map('tojson') | list", "dictsort", "items | list", "random | default(1) is defined",
                "select('in', [1, 2]) | list", "select('divisibleby', 2) | list",
                "select('gt', 1) | list", "default([])", "urlencode"]
SAFE_LIST_FILTERS = [
    "list", "reverse | list", "batch(2) | list", "batch(2, 'x') | list", "slice(2) | list",
    "slice(3, 'y') | list", "map('string') | list", "map('default', 'z') | list", "select | list",
    "reject | list", "select('string') | list", "reject('none') | list", "default([])",
    "map(attribute='role') | list", "map(attribute=0) | list", "map('int', 7) | list",
    "map('string') | sort", "map('string') | unique | list", "selectattr('role') | list"]
MESSAGE_FILTERS = [
    "groupby('role')", "groupby('role') | map(attribute='grouper') | list", "sort(attribute='role')",
    "groupby('role') | map(attribute=1) | map('length') | list", "sort(attribute='role,content')",
    "selectattr('role', 'equalto', 'user') | list", "rejectattr('content') | list",
    "selectattr('role', 'in', ['user']) | map(attribute='content') | list", "unique('x') | list",
    "map(attribute='content') | map('upper') | list", "max(attribute='role') | list",
    "unique(attribute='role') | list", "join('+', attribute='role') | list", "map('dictsort') | list",
    "map(attribute='x.y', default='q') | list", "map('tojson') | list", "map('length') | list",
    "groupby('x', default='none')", "selectattr('content', 'eq', '') | list", "map('items') | map('list') | list"]
NUMBERS = ["[3, 1, 2]", "range(7)", "[1, 2.5, n, k]", "(5, 5, 1)", "[true, 2, 0]"]
NUMBERS_FILTERS = [
    "sort", "sort(reverse=true)", "unique | list", "select('odd') | list", "reject('divisibleby', 2) | list",
    "select('gt', 1) | list", "map('round') | list", "map('float') | list", "map('abs') | sort | list",
    "select('in', [1, 2]) | list", "map('string') | map('center', 4) | list", "batch(3, 0) | map('sum') | list"]
WORDS = ["['b', 'A', 'a', 'B']", "('x', 'Yz', 'y')", "'hello world again'.split()", "['', 'q', ' w ']"]
WORDS_FILTERS = [
    "sort", "sort(case_sensitive=true)", "sort(true, true)", "unique | list", "unique(true) | list",
    "map('upper') | list", "map('length') | list", "map('first') | list", "map('replace', 'a', 'b') | list",
    "select('upper') | list", "map('indent', width=2, first=true) | list", "map('trim') | select | list",
    "map('capitalize') | join(', ') | list", "map('truncate', 3, true, '') | list", "map('tojson') | list"]
MAPPING_FILTERS = ["dictsort", "dictsort(true)", "dictsort(by='value')", "dictsort(reverse=true)",
                   "items | list", "list", "length", "tojson", "tojson(indent=4)", "xmlattr",
                   "tojson(sort_keys=true)", "tojson(separators=(',', ':'))", "urlencode", "first", "last",
                   "string", "pprint", "map('upper') | list", "attr('a')", "attr('keys') is defined",
                   "tojson(ensure_ascii=true)", "tojson(indent=0)", "reverse | list", "sort | list"]
TESTS = ["defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number",
         "integer", "float", "boolean", "true", "false", "callable", "odd", "even", "divisibleby(2)",
         "divisibleby 3", "eq 2", "equalto('a')", "ne 1", "gt(1)", "lt 3", "ge 2", "le 2", "sameas none",
         "sameas false", "in [1, 'a']", "in ('user', 'a')", "lower", "upper", "escaped", "filter",
         "test", "lessthan(2)", "greaterthan(2)"]
SAFE_TESTS = TESTS[:TESTS.index("odd")] + ["eq 2", "equalto('a')", "ne 1", "sameas none", "sameas false",
                                         "in [1, 'a']", "in ('user', 'a')", "lower", "upper", "escaped"]
NUMBER_TESTS = ["odd", "even", "divisibleby(2)", "divisibleby 3", "eq 2", "gt(1)", "lt 3", "ge 2", "le 2"]
FORMATS = ["'%s|%s' % ({0}, {1})", "'%5s|%-5s|' % ({0}, {1})", "'%r' % ({0},)", "'%d' % {2}",
           "'%05d|%x|%o' % ({2}, {2}, {2})", "'%.2f|%e|%g' % ({2}, {2}, {2})", "'%(a)s' % {{'a': {0}}}",
           "'%s' | format({0})", "'%(a)s %(b)s' | format(a={0}, b={1})", "'{{}}{{}}'.format({0}, {2})",
           "'{{0}}{{0}}{{1}}'.format({0}, {2})", "'{{a}}{{b!r}}'.format(a={0}, b={1})",
           "'{{:>8}}|{{:^7}}|'.format({0}, {2})", "'{{:05}}'.format({2})", "'{{:.3f}}'.format({2})",
           "'{{:,}}'.format({2})", "'{{0[0]}}'.format([{0}])", "'%%' % ()", "'%c' % 65", "'%s' % {0}",
           "'{{:+}}'.format({2})", "'{{:x}}{{:#b}}'.format({2}, {2})", "'{{:e}}'.format({2})"]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.loops = self.macros = 0

    def choose(self, options):
        """One of the options; of those that often fail, seldom."""
        return self.random.choice(options)

    def chance(self, probability):
        return self.random.random() < probability

    # Expressions

    def string(self, depth=0):
        if depth > 3 or self.chance(.3):
            return self.choose(STRINGS) if self.chance(.5) else self.choose(NAMES)
        inner = lambda: self.string(depth + 1)
        any_ = lambda: self.expression(depth + 1)
        return self.choose([
            lambda: f"{inner()} + {inner()}",
            lambda: f"({any_()} ~ {any_()})",
            lambda: f"{inner()} ~ {inner()} ~ {self.integer(depth + 1)}",
            lambda: f"({inner()} | {self.risky(SAFE_STRING_FILTERS, STRING_FILTERS)})",
            lambda: f"({inner()} | {self.risky(SAFE_STRING_FILTERS, STRING_FILTERS)} | {self.choose(SAFE_STRING_FILTERS)})",
            lambda: f"({inner()}).{self.risky(SAFE_STRING_METHODS, STRING_METHODS)}",
            lambda: f"({inner()}).{self.risky(SAFE_STRING_METHODS, STRING_METHODS)}",
            lambda: f"(({inner()}).{self.choose(STRING_METHODS[:-2])} | string)",
            lambda: f"({inner()} | string)[{self.subscript()}]",
            lambda: f"({inner()} if {self.boolean(depth + 1)} else {inner()})",
            lambda: f"({self.list(depth + 1)} | join({inner()}))",
            lambda: f"({any_()} | tojson)",
            lambda: f"({any_()} | string)",
            lambda: f"({inner()} or {inner()})",
            lambda: f"({inner()} and {inner()})",
            lambda: f"({inner()} * {self.choose([0, 1, 2, 3])})",
            lambda: f"(({self.mapping(depth + 1)}).get({inner()}, {inner()}) | string)",
            lambda: f"(({self.mapping(depth + 1)})[{inner()}] | string)",
            lambda: f"({inner()} | replace({inner()}, {inner()}))",
            lambda: "(" + self.choose(FORMATS).format(inner(), inner(), self.choose(INTEGERS)) + ")",
            lambda: f"f({inner()}{self.choose(['', ', ' + self.integer(depth + 1)])})",
            lambda: f"({any_()} | default({inner()}, {self.choose(['true', 'false'])}) | string)",
        ])()

    def risky(self, safe, all_):
        """One of `safe`, and seldom one of `all_`, which may fail or change the type."""
        return self.choose(all_ if self.chance(.06) else safe)

    def subscript(self):
        return self.choose([":1", "1:", "::-1", "-2:", ":-1", "::2", "1:3", "0", "-1", "5", ":", "-1::-1",
                            "n:", "none:2", "100:", "-100:100", "true"])

    def integer(self, depth=0):
        if self.loops and self.chance(.2):
            return self.choose(["loop.index", "loop.index0", "loop.length", "loop.revindex",
                                "loop.revindex0", "loop.depth", "loop.depth0"])
        if depth > 3 or self.chance(.35):
            return self.choose(INTEGERS)
        inner = lambda: self.integer(depth + 1)
        number = lambda: self.number(depth + 1)
        return self.choose([
            lambda: f"({number()} {self.choose(['+', '-', '*'])} {number()})",
            lambda: f"({number()} {self.choose(['//', '%', '/'])} {self.choose([1, 2, 3, -2, 7, '2.5', 'k'])})",
            lambda: f"({self.choose(INTEGERS)} ** {self.choose([0, 1, 2, 3])})",
            lambda: f"({self.list(depth + 1)} | length)",
            lambda: f"({self.string(depth + 1)} | length)",
            lambda: f"({self.string(depth + 1)} | int({self.choose(['', '3', 'base=8'])}))",
            lambda: f"({number()} | {self.risky(NUMBER_FILTERS[:7], NUMBER_FILTERS)})",
            lambda: f"(-{number()})",
            lambda: f"(+{inner()})",
            lambda: f"({self.choose(['[1, 2, 3]', 'range(5)', '[2.5, n, -1]'])} | {self.choose(['sum', 'max', 'min', 'first', 'last'])})",
            lambda: f"({self.choose(INTEGERS[:10])} | int).{self.choose(['bit_length()', 'real', 'imag', 'numerator'])}",
        ])()

    def number(self, depth=0):
        return self.choose(REALS) if self.chance(.2) else self.integer(depth)

    def list(self, depth=0):
        if depth > 3 or self.chance(.35):
            return self.choose(LISTS)
        inner = lambda: self.list(depth + 1)
        return self.choose([
            lambda: f"({inner()} | list)[{self.choose(['1:', ':2', '::-1', ':', '-2:', '::2'])}]",
            lambda: f"({inner()} | {self.risky(SAFE_LIST_FILTERS, LIST_FILTERS)})",
            lambda: f"({inner()} | {self.risky(SAFE_LIST_FILTERS, LIST_FILTERS)})",
            lambda: f"({self.choose(['messages', 'messages[:2]', 'messages + [m]'])} | {self.choose(MESSAGE_FILTERS)})",
            lambda: f"({self.choose(NUMBERS)} | {self.choose(NUMBERS_FILTERS)})",
            lambda: f"({self.choose(WORDS)} | {self.choose(WORDS_FILTERS)})",
            lambda: f"({self.string(depth + 1)}).split({self.choose(['', self.string(depth + 1)])})",
            lambda: f"[{self.expression(depth + 1)}, {self.expression(depth + 1)}]",
            lambda: f"({self.expression(depth + 1)}, {self.expression(depth + 1)})",
            lambda: f"(({inner()} | list) + ({inner()} | list))",
            lambda: f"(({inner()} | list) * {self.choose([0, 1, 2])})",
            lambda: f"({self.mapping(depth + 1)}).{self.choose(['keys', 'values', 'items'])}()",
            lambda: f"({self.mapping(depth + 1)} | {self.risky(MAPPING_FILTERS[:8], MAPPING_FILTERS)})",
            lambda: f"range({self.choose(INTEGERS[:8])}, {self.choose(INTEGERS[:9])})",
            lambda: f"range({self.choose(INTEGERS[:7])}, {self.choose(INTEGERS[:9])}, {self.choose([1, 2, -1])})",
            lambda: f"([n, k]).{self.risky(['copy()'], ['count(1)', 'index(1)', 'copy()'])}",
        ])()

    def mapping(self, depth=0):
        if depth > 2 or self.chance(.7):
            return self.choose(MAPPINGS)
        return self.choose([
            lambda: f"{{'k': {self.expression(depth + 1)}, {self.string(depth + 2)}: {self.expression(depth + 2)}}}",
            lambda: f"dict(a={self.expression(depth + 1)}, b=2)",
            lambda: f"dict({self.mapping(depth + 1)}, z={self.expression(depth + 1)})",
            lambda: f"({self.mapping(depth + 1)}).copy()",
        ])()

    def boolean(self, depth=0):
        if self.loops and self.chance(.2):
            return self.choose(["loop.first", "loop.last", "loop.previtem is defined",
                                "loop.nextitem is defined", "loop.changed(s)"])
        if depth > 3 or self.chance(.2):
            return self.choose(["true", "false", "add_generation_prompt", "enable_thinking", "tools",
                                "True", "none", "missing"])
        inner = lambda: self.boolean(depth + 1)
        return self.choose([
            lambda: f"({inner()} {self.choose(['and', 'or'])} {inner()})",
            lambda: f"(not {inner()})",
            lambda: f"({self.string(depth + 1)} {self.choose(['==', '!=', '<', '>=', 'in', 'not in'])} {self.string(depth + 1)})",
            lambda: f"({self.choose(INTEGERS + REALS)} {self.choose(['<', '<=', '>', '>='])} {self.choose(INTEGERS + REALS)})",
            lambda: f"({self.number(depth + 1)} {self.choose(['==', '!='])} {self.number(depth + 1)})",
            lambda: f"({self.choose(INTEGERS)} < {self.choose(INTEGERS)} <= {self.choose(REALS)})",
            lambda: f"({self.expression(depth + 1)} is {self.choose(['', 'not '])}{self.risky(SAFE_TESTS, TESTS)})",
            lambda: f"({self.choose(INTEGERS + REALS)} is {self.choose(['', 'not '])}{self.choose(NUMBER_TESTS)})",
            lambda: f"({self.expression(depth + 1)} in {self.choose([self.list(depth + 1), self.mapping(depth + 1)])})",
            lambda: f"({self.expression(depth + 1)} {self.choose(['==', '!='])} {self.expression(depth + 1)})",
            lambda: f"({self.list(depth + 1)} == {self.list(depth + 1)})",
            lambda: f"({self.choose(NUMBERS)} < {self.choose(NUMBERS)})" if self.chance(.2) else inner(),
        ])()

    def expression(self, depth=0):
        return self.choose([self.string] * 6 + [self.integer] * 3 + [self.number] + [self.boolean] * 2
                           + [self.list] * 3 + [self.mapping]
                           + [lambda _: self.choose(["none", "missing", "x", "message", "d.x.y", "tools",
                                                     "messages[0].missing", "m['y']"])])(depth)

    # Statements

    def text(self):
        return self.choose(TEXTS)

    def tag(self, words):
        signs = ["", "", "", "-", "+"]
        return "{%" + self.choose(signs) + f" {words} " + self.choose(signs) + "%}"

    def output(self, expression):
        return "{{" + self.choose(["", "", "-", "+"]) + f" {expression} " + self.choose(["", "", "-"]) + "}}"

    def body(self, depth):
        return "".join(self.statement(depth) for _ in range(self.random.randint(1, 3)))

    def leaving(self, make):
        """A body that no loop can be left from."""
        loops, self.loops = self.loops, 0
        try:
            return make()
        finally:
            self.loops = loops

    def loop(self, depth):
        target, elements = self.choose([
            ("m", "messages"), ("m", "messages"), ("message", "messages"), ("m", "messages[1:]"),
            ("q, v", f"({self.mapping()}).items()"), ("q, v", f"{self.mapping()} | items"),
            ("k", "range(3)"), ("x", self.list()), ("a, b", "pairs"), ("(a, b)", "pairs | reverse"),
            ("k", "[1, 2, 3]"), ("x", "z"), ("key, group", "messages | groupby('role')"), ("x", "missing"),
            ("c", self.string())])
        head = f"for {target} in {elements}"
        if self.chance(.2):
            head += f" if {self.leaving(self.boolean)}"
        recursive = self.chance(.1)
        if recursive:
            head += " recursive"
        self.loops += 1
        body = self.body(depth + 1)
        if self.chance(.2):
            body += self.tag("if " + self.boolean()) + self.tag(self.choose(["break", "continue"]))
            body += self.tag("endif") + self.body(depth + 1)
        if recursive and self.chance(.7):
            body += self.tag("if loop.depth0 < 2") + self.output("loop([7, 8])") + self.tag("endif")
        if self.chance(.2):
            body += self.output("loop.cycle('odd', 'even')")
        self.loops -= 1
        other = self.tag("else") + self.leaving(lambda: self.body(depth + 1)) if self.chance(.25) else ""
        return self.tag(head) + body + other + self.tag("endfor")

    def macro(self, depth):
        name = self.choose(["f", "g"])
        parameters = self.choose(["a", "a, b", f"a, b={self.expression(2)}", "a=1, b=2", "a, b='x', c=3"])
        body = self.leaving(lambda: self.text() + self.output(self.choose(
            ["a", "b", "a ~ b", "s", "x", "varargs", "kwargs", "varargs ~ kwargs", "caller() if caller is defined else ''",
             self.expression()])) + (self.body(depth + 2) if self.chance(.3) else ""))
        call = self.choose([f"{name}({self.expression(1)})", f"{name}({self.expression(1)})", f"{name}(1, b=2)", f"{name}(a=3)", f"{name}()",
                            f"{name}(1, 2)", f"{name}(*[1, 2])", f"{name}(**{{'a': 1}})"])
        return self.tag(f"macro {name}({parameters})") + body + self.tag("endmacro") + self.text() + self.output(call)

    def statement(self, depth=0):
        text = self.text()
        if depth > 3:
            return text + self.output(self.expression(1))
        kind = self.random.randrange(30)
        if kind < 9:
            made = self.output(self.expression())
        elif kind < 12:
            made = self.tag("if " + self.boolean()) + self.body(depth + 1)
            if self.chance(.4):
                made += self.tag("elif " + self.boolean()) + self.body(depth + 1)
            if self.chance(.5):
                made += self.tag("else") + self.body(depth + 1)
            made += self.tag("endif")
        elif kind < 16:
            made = self.loop(depth)
        elif kind < 19:
            made = self.tag(self.choose([
                lambda: f"set {self.choose(['s', 'u'])} = {self.string()}",
                lambda: f"set {self.choose(['n', 'k'])} = {self.integer()}",
                lambda: f"set x = {self.expression()}",
                lambda: f"set a, b = {self.expression()}, {self.expression()}",
                lambda: f"set x, y = {self.choose(['pairs[0]', '(1, 2)', repr('ab'), self.list()])}"])())
        elif kind == 19:
            made = self.tag(self.choose([
                lambda: f"set ns.t = {self.string()}", lambda: f"set ns.c = {self.integer()}",
                lambda: f"set ns.q = {self.expression()}"])())
        elif kind == 20:
            made = self.tag("set x" + self.choose(["", "", " | upper", " | trim | length"]))
            made += self.body(depth + 1) + self.tag("endset")
        elif kind == 21:
            made = "{#" + self.choose(["", "-", "+"]) + self.choose([" c ", "", " two\nlines ", "{{ x }}"])
            made += self.choose(["", "-", "+"]) + "#}"
        elif kind == 22:
            made = self.tag("generation") + self.leaving(lambda: self.body(depth + 1))
            made += self.tag("endgeneration")
        elif kind == 23:
            made = self.choose(["{% raw %}", "{%- raw %}", "{% raw -%}"])
            made += self.choose(["{{ x }}", " {% if %} ", "\n{# c #}\n", ""])
            made += self.tag("endraw")
        elif kind == 24:
            made = self.tag(f"with {self.choose(['s', 'y', 'x'])} = {self.expression()}, k = {self.integer()}")
            made += self.body(depth + 1) + self.tag("endwith")
        elif kind == 25:
            made = self.tag("filter " + self.choose(["upper", "trim", "replace('a', 'b')", "indent(2)", "e",
                                                     "title | trim", "length"]))
            made += self.body(depth + 1) + self.tag("endfilter")
        elif kind == 26:
            made = self.tag(self.choose(["call(q) f(1)", "call(a) f(2, 3)", "call(q=4) g()", "call(x='d') f(s)"]))
            made += self.leaving(lambda: self.body(depth + 1)) + self.tag("endcall")
        elif kind == 27:
            made = self.tag("if " + self.choose(["false", "not true", "missing", "x is undefined"]))
            made += self.choose(["{% include 'x' %}", "{{ x | nofilter }}", "{{ x is notest }}",
                                 "{% import 'x' as y %}", "{{ raise_exception('no') }}"])
            made += self.tag("endif")
        else:
            made = self.macro(depth)
        return text + made + self.text()

    def template(self):
        before = ("{%- set ns = namespace(c=1, t='t') -%}"
                  "{%- macro f(a, b=2) %}{{ a ~ b }}{{ caller(a) if caller else '' }}{% endmacro -%}"
                  "{%- macro g() %}[{{ caller('z') }}]{% endmacro -%}")
        return before + "".join(self.statement() for _ in range(self.random.randint(1, 4)))

    def variables(self):
        messages = [{"role": self.choose(["system", "user", "assistant"]), "content": self.choose(
            ["Hi", "  spaced \n", "<think>a</think>\nb", "é\u0301 😀", "", "line1\nline2\n", 'a"b\\c',
             "tab\tx", "<b>&", "Some longer words, to be wrapped-up."])}
            for _ in range(self.random.randint(1, 4))]
        variables = {
            "messages": messages, "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>",
            "tools": None, "x": "xx", "n": self.choose([0, 1, 3, -4]), "k": 2,
            "s": self.choose(["str", "", " s ", "ÀÉ", "a b-c d"]), "u": self.choose(["U x", "ß", "a\nb"]),
            "z": self.choose([[1, 2, 3], ["b", "a"], [], [1.5, None, True], [{"n": 1}, {"n": 2}]]),
            "pairs": [["p", 1], ["q", 2]],
            "d": {"x": {"y": "deep"}, "a": 1, "inner": {"k": [1, {"q": 2}], "u": "ü"}, "f": 1.5},
            "t": {"name": "fn", "parameters": {"type": "object"}}, "m": {"role": "user", "content": "c0"},
            "message": {"role": "x", "content": "mc"}}
        if self.chance(.5):
            variables["enable_thinking"] = self.choose([True, False])
        if self.chance(.5):
            variables["tools"] = [{"name": "t1", "function": {
                "name": "fn", "arguments": {"b": [1, 2], "a": 1}}}, {"name": "t2", "x": None}]
        return variables


def cases(count, seed):
    generator = Generator(seed)
    for _ in range(count):
        yield generator.template(), generator.variables()
