"""Multiple-choice questions of held-out text, for lm-evaluation-harness."""
import random
import re

from text import documents

SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
WORD = re.compile(r"(?<= )[a-z]{5,14}(?=[ .,;])")
# Prose has a word such as "the" in so many characters.
PROSE = 80
CHOICES = 4
# Questions of one document, so that long ones do not count for more than a few.
PER_DOCUMENT = 10


def sentences(document):
    """The sentences of each paragraph of prose that has at least two."""
    for paragraph in document.split("\n\n"):
        text = " ".join(paragraph.split())
        if len(text) < 160 or len(documents.COMMON.findall(text)) < len(text) // PROSE:
            continue
        found = SENTENCE.split(text)
        if (len(found) >= 2 and text[0].isalnum() and text.endswith((".", "!", "?"))
                and not re.search(r"[{};|<>=]", text)):
            yield found


def question(context, own, others, draw):
    """A question as the harness reads it; its choices are in an order that is drawn."""
    choices = [" " + text for text in (own, *others)]
    draw.shuffle(choices)
    return {"text": context, "choices": choices, "answer": choices.index(" " + own)}


def next_sentences(texts, count):
    """Which sentence comes next: the paragraph's own, or one of three of other documents that are of most
    nearly its length."""
    draw = random.Random(1)
    parts = []
    for text in texts:
        found = [each for each in sentences(text) if 40 <= len(each[-1]) <= 240]
        for chosen in draw.sample(found, min(PER_DOCUMENT, len(found))):
            parts.append((" ".join(chosen[:-1])[-1000:], chosen[-1]))
    draw.shuffle(parts)
    result = []
    for index, (context, own) in enumerate(parts[:count]):
        candidates = {other for other in (parts[place][1] for place in draw.sample(
            range(len(parts)), min(len(parts), 40)) if place != index) if other != own}
        nearest = sorted(sorted(candidates), key=lambda other: abs(len(other) - len(own)))[:CHOICES - 1]
        if len(nearest) == CHOICES - 1:
            result.append(question(context, own, nearest, draw))
    return result


def clozes(texts, count):
    """Which word comes next: the text's own, or one of three of the same document that are of its length, and
    end alike where there are such."""
    draw = random.Random(2)
    result = []
    for text in texts:
        paragraphs = list(sentences(text))
        for paragraph in draw.sample(paragraphs, min(PER_DOCUMENT, len(paragraphs))):
            chosen = " ".join(paragraph)
            places = [place for place in WORD.finditer(chosen) if place.start() >= 120]
            if not places:
                continue
            place = draw.choice(places)
            own = place[0]
            words = sorted({word for word in WORD.findall(text)
                            if word != own and abs(len(word) - len(own)) <= 2})
            draw.shuffle(words)
            words.sort(key=lambda word: word[-2:] != own[-2:])
            if len(words) >= CHOICES - 1:
                result.append(question(
                    chosen[:place.start()].rstrip()[-1000:], own, words[:CHOICES - 1], draw))
    draw.shuffle(result)
    return result[:count]
