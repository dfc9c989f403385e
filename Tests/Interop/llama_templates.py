"""The templates of llama.cpp: the cases of its tests/test-jinja.cpp, and chats for its models/templates."""

import json
import re

TOKEN = re.compile(r'\s+|//[^\n]*|R"(?P<mark>\w*)\((?P<raw>.*?)\)(?P=mark)"|"(?P<text>(?:[^"\\]|\\.)*)"'
                   r"|(?P<word>[\w:.+-]+)|(?P<symbol>[{}(),<>])", re.S)


class Reader:
    """Reads the arguments of a call in C++: strings, numbers and initializers of JSON."""

    def __init__(self, source, position):
        self.source, self.position = source, position
        self.next()

    def next(self):
        while True:
            match = TOKEN.match(self.source, self.position)
            if not match:
                raise ValueError(self.source[self.position:self.position + 40])
            self.position = match.end()
            if any(match.group(name) is not None for name in ("raw", "text", "word", "symbol")):
                self.token = match
                return

    def take(self, symbol):
        if self.token["symbol"] != symbol:
            return False
        self.next()
        return True

    def expect(self, symbol):
        if not self.take(symbol):
            raise ValueError(f"{symbol}: {self.token.group()}")

    def value(self):
        text = None
        while self.token["raw"] is not None or self.token["text"] is not None:
            part = self.token["raw"]
            if part is None:
                part = self.token["text"].encode("latin-1", "backslashreplace").decode("unicode-escape")
                part = part.encode("latin-1", "surrogatepass").decode("utf-8", "replace") if all(
                    ord(c) < 256 for c in part) and any(ord(c) > 127 for c in part) else part
            text = (text or "") + part
            self.next()
        if text is not None:
            return text
        if self.take("{"):
            items = self.items("}")
            if items and all(isinstance(i, list) and len(i) == 2 and isinstance(i[0], str) for i in items):
                return dict(items)
            return items
        word = self.token["word"]
        self.next()
        if word in ("json::object", "json::array"):
            self.expect("(")
            inner = [] if self.token["symbol"] == ")" else self.value()
            self.expect(")")
            return dict(inner) if word == "json::object" else inner
        if word == "json":
            self.expect("(")
            inner = self.value()
            self.expect(")")
            return inner
        return {"true": True, "false": False, "nullptr": None}[word] if word in (
            "true", "false", "nullptr") else json.loads(word.rstrip("fuUlL"))

    def items(self, end):
        items = []
        while not self.take(end):
            items.append(self.value())
            self.take(",")
        return items


def cases_of_test(source):
    """The templates of test-jinja.cpp with their variables."""
    for match in re.finditer(r"^ *test_template\(t, ", source, re.M):
        reader = Reader(source, match.end())
        _ = reader.value()
        reader.expect(",")
        template = reader.value()
        reader.expect(",")
        variables = reader.value()
        yield template, dict(variables)


TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "The weather of a place", "parameters": {
        "type": "object", "required": ["city"], "properties": {
            "city": {"type": "string", "description": "A city"},
            "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
            "days": {"type": ["integer", "null"], "description": "How many <days> & nights"}}},
    "strict": True}},
    {"type": "function", "function": {"name": "now", "description": "", "parameters": {
        "type": "object", "properties": {}}}}]
CALL = {"id": "call12345", "type": "function", "function": {
    "name": "get_weather", "arguments": {"city": "Köln", "unit": "c"}}}
TEXT_CALL = {"id": "call12346", "type": "function", "function": {
    "name": "get_weather", "arguments": '{"city": "Köln"}'}}


def chats():
    """Variables of eleven chats, as transformers gives them to a template."""
    system = {"role": "system", "content": "You are terse.\n"}
    user = {"role": "user", "content": "Hi <there> & 'you' 😀"}
    answer = {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nHello."}
    reasoned = {"role": "assistant", "content": "Hello.", "reasoning_content": "Hm."}
    parts = {"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "text", "text": " it?"}]}
    result = {"role": "tool", "name": "get_weather", "tool_call_id": "call12345", "content": '{"t": 20}'}
    called = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    chats = [
        dict(messages=[user]), dict(messages=[system, user]),
        dict(messages=[system, user, answer, {"role": "user", "content": "And?"}]),
        dict(messages=[user, reasoned, user, reasoned, user], enable_thinking=False),
        dict(messages=[parts]), dict(messages=[user], tools=TOOLS),
        dict(messages=[system, user, called, result], tools=TOOLS),
        dict(messages=[user, {**called, "tool_calls": [TEXT_CALL]}, result, reasoned, user], tools=TOOLS),
        dict(messages=[user, {**called, "tool_calls": [CALL, {**CALL, "id": "call12347"}]}, result,
                       {**result, "tool_call_id": "call12347"}, answer], tools=TOOLS,
             add_generation_prompt=False),
        dict(messages=[{"role": "user", "content": ""}, {"role": "assistant", "content": " spaced \n"}],
             add_generation_prompt=False, enable_thinking=True),
        dict(messages=[user, {"role": "assistant", "content": None, "tool_calls": [CALL]}, result],
             tools=TOOLS, reasoning_effort="low", documents=[{"title": "T", "text": "Some text"}])]
    for chat in chats:
        yield {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "tools": None,
               "documents": None, "add_generation_prompt": True, **chat}
