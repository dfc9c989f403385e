"""Plain text of HTML and of manual pages."""
import html
import re

DROPPED = re.compile(
    r"<!--.*?-->|<(script|style|head|nav|header|footer|svg|aside|button|form|select|math)\b.*?</\1\s*>",
    re.DOTALL | re.IGNORECASE)
# The part of a page that is not navigation, in the order of trust.
MAIN = [re.compile(pattern, re.DOTALL | re.IGNORECASE) for pattern in (
    r"<main\b[^>]*>(.*?)</main>", r"<article\b[^>]*>(.*?)</article>",
    r"<div[^>]*role=.main.[^>]*>(.*)", r"<div class=.(?:body|contents).[^>]*>(.*)",
    r"<body\b[^>]*>(.*)")]
# What documentation generators put beside headings.
PERMALINK = re.compile(
    r"<a [^>]*class=.(?:headerlink|anchor|self-link)[^>]*>.*?</a>", re.DOTALL | re.IGNORECASE)
PREFORMATTED = re.compile(r"<(pre|textarea)\b[^>]*>(.*?)</\1\s*>", re.DOTALL | re.IGNORECASE)
BLOCK = re.compile(
    r"</?(?:p|div|h[1-6]|ul|ol|dl|table|section|blockquote|hr|title|para|screen|programlisting|note|"
    r"figure|fieldset|details|summary|center|address)\b[^>]*>", re.IGNORECASE)
LINE = re.compile(r"</?(?:br|tr|dt|dd|tbody|thead|caption|item)\b[^>]*>", re.IGNORECASE)
ITEM = re.compile(r"<li\b[^>]*>", re.IGNORECASE)
CELL = re.compile(r"</t[dh]\s*>", re.IGNORECASE)
TAG = re.compile(r"<[!?/a-zA-Z][^>]*>")
SPACE = re.compile(r"[ \t\r\f\v\xa0]+")
LINES = re.compile(r"\n\s*\n\s*")


def flowing(text):
    """Text outside of preformatted parts."""
    text = re.sub(r"\s+", " ", text)
    text = ITEM.sub("\n- ", CELL.sub("  ", LINE.sub("\n", BLOCK.sub("\n\n", text))))
    text = html.unescape(TAG.sub("", text))
    return "\n".join(SPACE.sub(" ", line).strip() for line in text.split("\n"))


def of_html(page):
    """The text of an HTML page or a DocBook document, without navigation; preformatted parts stay as
    they are."""
    page = DROPPED.sub(" ", page)
    for pattern in MAIN:
        found = pattern.search(page)
        if found and len(found[1]) > len(page) // 4:
            page = found[1]
            break
    page = PERMALINK.sub("", page)
    parts, end = [], 0
    for found in PREFORMATTED.finditer(page):
        parts.append(flowing(page[end:found.start()]))
        parts.append("\n\n" + html.unescape(TAG.sub("", found[2])).strip("\n") + "\n\n")
        end = found.end()
    parts.append(flowing(page[end:]))
    return tidy("".join(parts))


ESCAPE = re.compile(
    r"\\f(?:\[[^\]]*\]|\(..|.)|\\s[-+]?\d|\\[&/,)|^:%]|\\m\[[^\]]*\]|\\[hvw]'[^']*'|\\\*\[[^\]]*\]|\\\*\(..")
CHARACTERS = {
    "\\-": "-", "\\e": "\\", "\\ ": " ", "\\~": " ", "\\(aq": "'", "\\(dq": '"', "\\(bu": "-", "\\(em": "--",
    "\\(en": "-", "\\(co": "(c)", "\\(lq": '"', "\\(rq": '"', "\\(oq": "'", "\\(cq": "'", "\\(ti": "~",
    "\\(ha": "^", "\\(rs": "\\", "\\(ga": "`", "\\(mu": "*", "\\(<=": "<=", "\\(>=": ">=", "\\`": "`",
    "\\'": "'", "\\.": ".", "\\(->": "->", "\\0": " "}
CHARACTER = re.compile(r"\\(?:\(..|[-e ~`'.0])")
# Macros whose arguments are words in another font; .BR and its like alternate without spaces.
FONTS, ALTERNATING = {"B", "I", "SM", "SB"}, {"BR", "RB", "BI", "IB", "IR", "RI"}
HEADINGS, BREAKS = {"SH", "SS", "Sh", "Ss"}, {"PP", "P", "LP", "TP", "Pp", "sp", "TQ", "HP", "RS", "RE"}
ARGUMENT = re.compile(r'"((?:[^"]|"")*)"?|(\S+)')


def arguments(text):
    return [quoted or plain for quoted, plain in ARGUMENT.findall(text)]


def of_manual(page):
    """The text of a manual page in the macros of man or mdoc."""
    lines = []
    for line in page.split("\n"):
        if line.startswith((".\\\"", "'\\\"", "'", ".ie", ".el", ".de", ".ds", ".nr", ".TH", ".Dd", ".Dt")):
            continue
        if line.startswith("."):
            macro, _, rest = line[1:].strip().partition(" ")
            words = arguments(rest)
            if macro in HEADINGS:
                lines += ["", " ".join(words), ""]
            elif macro in BREAKS:
                lines.append("")
            elif macro in ("IP", "It"):
                lines += ["", " ".join(words[:1] if macro == "IP" else words)]
            elif macro in FONTS:
                lines.append(" ".join(words))
            elif macro in ALTERNATING:
                lines.append("".join(words))
            elif macro in ("Fl", "Op", "Ar", "Nm", "Xr", "Nd", "Em", "Sy", "Pa", "Cm", "Va", "Fn", "Dv", "Li",
                           "Dq", "Sq", "Fa", "Ft", "In", "Vt", "Er", "Ev", "Ic", "Ql", "Pq", "UR", "MT"):
                lines.append(("-" if macro == "Fl" else "") + " ".join(words))
            continue
        lines.append(line)
    text = ESCAPE.sub("", "\n".join(lines))
    return tidy(CHARACTER.sub(lambda found: CHARACTERS.get(found[0], ""), text))


def tidy(text):
    """At most one empty line in a row, and none at the ends."""
    text = "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").split("\n"))
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")
