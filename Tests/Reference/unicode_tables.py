"""What the `tokenizers` package knows of Unicode, as tables for this package.

    python3 Tests/Reference/unicode_tables.py

writes Sources/CMGLUResources/unicode/tables.txt (pip install tokenizers). The package normalizes by
the tables of an older Unicode, so that newer characters stay as they are; what it does to each
scalar decides, not what Python's own tables say. Lines of the file, all numbers hexadecimal:

    =CODE SCALARS   a canonical decomposition that composes again
    !CODE SCALARS   a canonical decomposition that does not
    ~CODE SCALARS   a decomposition of compatibility
    ^CLASS RANGES   the scalars of a canonical combining class
    @SCRIPT RANGES  the scalars of a script, or "Punctuation" as the pre-tokenizer of that name cuts

A line without CODE is about the scalar after that of the line before.
"""
import os
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "Sources",
                    "CMGLUResources", "unicode", "tables.txt")
SCRIPTS = ("Arabic Armenian Bengali Bopomofo Cyrillic Devanagari Ethiopic Georgian Greek Han Hangul "
           "Hebrew Hiragana Katakana Khmer Lao Latin Myanmar Tamil Thai").split()
NFD, NFKD, NFC = normalizers.NFD(), normalizers.NFKD(), normalizers.NFC()
scalars = [code for code in range(0x110000) if not 0xd800 <= code < 0xe000]


def ranges(codes):
    found = []
    for code in codes:
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return " ".join(f"{a:X}" if a == b else f"{a:X}-{b:X}" for a, b in found)


def is_reordered(code):
    """Whether the package knows the combining class of `code`."""
    return all(NFD.normalize_str(text) == unicodedata.normalize("NFD", text)
               for mark in "\u0334\u0323\u0301\u0345"
               for text in ("x" + chr(code) + mark, "x" + mark + chr(code)))


with open(FILE, "w") as file:
    before = None
    for code in scalars:
        parts = unicodedata.decomposition(chr(code)).split()
        if not parts:
            continue
        compatible = parts[0].startswith("<")
        known = (NFKD if compatible else NFD).normalize_str(chr(code)) != chr(code)
        if not known:
            continue
        kind = "~" if compatible else "=" if NFC.normalize_str(chr(code)) == chr(code) else "!"
        place = "" if before == code - 1 else f"{code:X}"
        file.write(f"{kind}{place} {' '.join(f'{int(p, 16):X}' for p in parts[compatible:])}\n")
        before = code
    classes = {}
    for code in scalars:
        if unicodedata.combining(chr(code)) and is_reordered(code):
            classes.setdefault(unicodedata.combining(chr(code)), []).append(code)
    for number in sorted(classes):
        file.write(f"^{number:X} {ranges(classes[number])}\n")
    splits = {script: pre_tokenizers.Split(Regex(rf"\p{{{script}}}"), "removed") for script in SCRIPTS}
    splits["Punctuation"] = pre_tokenizers.Punctuation("removed")
    for script, split in splits.items():
        file.write(f"@{script} {ranges([c for c in scalars if not split.pre_tokenize_str(chr(c))])}\n")
