"""Text of mixed scripts, by seed."""

import random
import unicodedata

WORDS = """
the model's masks we'll I'VE they'D it'ſ don't 'tis o'clock naïve café e\u0301te\u0301 Ångström A\u030angstro\u0308m
привет мир Ελληνικά עברית العربيّة हिन्दी தமிழ் ไทย 日本語 漢字 かな 한국어 \u1112\u1161\u11ab 中文字符 ქართული Հայերեն አማርኛ
1 12 123 1234 98765 3.14159 ٣٤٥ ४५६ Ⅷ ½ x² 2024-06-23 0xFF 1e-9 v1.2.3 fi ﬁ ﷺ ㎏ \u212b \u2126 K
👍 👍🏽 👨‍👩‍👧‍👦 🇺🇳 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️ 🤷🏻‍♀️ … — “quoted” «x» ¿qué? ¡no! a_b __init__ C++ C# f(x)=a+b; {"k":[1,2]} <p>x</p> #!/bin/sh
$HOME ~/.ssh user@example.org https://example.org/a?b=c&d=%20 || && -> => != ≥ ∑ √2 \\n \\t /* */ // --- *** ``` <|not|>
""".split()
SPACES = [" "] * 24 + ["\n", "\n\n", "\r\n", "\t", "  ", "    ", " \n", "\n  ", "\n\t\t", "\u00a0",
                       "\u2003", "\u200b", "\u3000", "\x85", " \r\n \n", ""]
CODE = """def f(x):\n    return [i ** 2 for i in range(x) if i % 2 == 0]\n\n
for (int i = 0; i < 10; ++i) {\n\tsum += a[i];\n}\nlet text = "naïve 🙂";  // done\n"""


MARKS = [chr(code) for code in [*range(0x300, 0x370), 0x483, 0x591, 0x5b0, 0x64b, 0x93c, 0x94d, 0xe31, 0xf71,
                                0xf72, 0xf73, 0xf74, 0xf75, 0xf81, 0x3099, 0x20dd, 0xfe0f, 0x1d165]]
BLOCKS = [(0, 0x20), (0x7f, 0x250), (0x370, 0x400), (0x400, 0x530), (0x531, 0x590), (0x590, 0x600),
          (0x600, 0x700), (0x900, 0x980), (0x980, 0xa00), (0xb80, 0xc00), (0xe00, 0xe80), (0xe80, 0xf00),
          (0xf00, 0x1000), (0x1000, 0x10a0), (0x10a0, 0x1100), (0x1100, 0x1200), (0x1200, 0x1380),
          (0x13a0, 0x1400), (0x1780, 0x1800), (0x1e00, 0x2070), (0x3000, 0x3130), (0x4e00, 0x9fff),
          (0xac00, 0xd7a4), (0xe0000, 0xe0200), (0x1d400, 0x1d800), (0x1f300, 0x1fb00), (0x20000, 0x20100)]


def mixed_text(size, added=(), seed=3):
    """Deterministic text of words, scripts, code, emoji, odd spaces, single scalars and tokens."""
    generator = random.Random(seed)
    parts, length = [], 0
    while length < size:
        choice = generator.random()
        if choice < 0.02:
            part = CODE
        elif choice < 0.025:
            part = script_run(generator)
        elif choice < 0.0275:
            part = "".join(generator.choice("aeoxKπкあㅎᄒकཀ") + "".join(generator.choices(MARKS, k=3))
                           for _ in range(4))
        elif choice < 0.03 and added:
            part = generator.choice(added)
        elif choice < 0.1:
            part = assigned_scalar(generator)
        else:
            part = generator.choice(WORDS)
        parts += [part, generator.choice(SPACES)]
        length += len(parts[-2].encode()) + len(parts[-1].encode())
    return "".join(parts)


def script_run(generator):
    """Random characters of one block, also some that are not assigned, and spaces."""
    first, last = generator.choice(BLOCKS)
    return "".join(chr(generator.randrange(first, last)) if generator.random() < 0.85 else " "
                   for _ in range(generator.randrange(1, 30)))


def assigned_scalar(generator):
    """Any character that Python knows."""
    while True:
        scalar = chr(generator.randrange(0x20, 0x20000))
        if unicodedata.category(scalar) not in ("Cn", "Cs", "Co"):
            return scalar
