"""The steps from packages to documents: fetch, extract, deduplicate. Each can be interrupted, and goes on."""
import array
import glob
import hashlib
import json
import mmap
import os
import re
import subprocess
import time

from text import archives, documents, plain

# Shorter paragraphs, such as headings, may come again.
LEAST_PARAGRAPH = 80
HELD_OUT = 100
# There is more code than prose in packages.
KEPT = {"code": 0.55}
END = b"\n<|endoftext|>\n"
LICENSE = re.compile(r"^License:[ \t]*(\S.*)$", re.MULTILINE)
NAMED = re.compile(
    r"\b(?:GPL-\d|LGPL-\d|GNU (?:Lesser |Library |Affero )?General Public License|"
    r"GNU Free Documentation License|Apache License|"
    r"BSD|MIT|PostgreSQL License|Artistic License|Boost Software License|Creative Commons|public domain|"
    r"Python Software Foundation|Mozilla Public License)\b")


def write_json(path, value):
    """Writes a file whole or not at all."""
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.write("\n")
    os.replace(path + ".part", path)


def read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def fetched(folder, name):
    """The .deb of a package, fetched by apt-get if it is not there."""
    debs = os.path.join(folder, "debs")
    os.makedirs(debs, exist_ok=True)
    found = sorted(glob.glob(f"{glob.escape(debs)}/{name}_*.deb"))
    if not found:
        subprocess.run(["apt-get", "download", "-qq", name], cwd=debs, check=True, stderr=subprocess.DEVNULL)
        found = sorted(glob.glob(f"{glob.escape(debs)}/{name}_*.deb"))
    return found[-1]


def digest_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def licenses(terms):
    """The licenses that a copyright file names: of its machine-readable lines, or of its words."""
    found = LICENSE.findall(terms) or NAMED.findall(terms)
    return sorted({" ".join(name.split()) for name in found})


def terms_of(folder, name):
    """The copyright file of a package, which may be that of another one, and whose it is."""
    deb = fetched(folder, name)
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as process:
        found = subprocess.run(["tar", "-xO", f"./usr/share/doc/{name}/copyright"], stdin=process.stdout,
                               capture_output=True)
    if found.stdout:
        return name, found.stdout.decode("utf-8", "replace")
    listing = subprocess.run(["dpkg-deb", "-c", deb], check=True, capture_output=True, text=True).stdout
    link = re.search(rf" \./usr/share/doc/{re.escape(name)} -> (\S+)", listing)
    if not link:
        raise ValueError(f"{name}: no copyright file")
    return terms_of(folder, os.path.basename(link[1]))


def with_licenses(folder, index):
    """The index of a package with its licenses, and where to read them."""
    name, terms = terms_of(folder, index["package"])
    return {**index, "licenses": licenses(terms) or ["in the words of its copyright file"],
            "copyright_file": f"/usr/share/doc/{name}/copyright"}


def rules():
    """What documents depend on beside their package: the code that takes them out of it."""
    digest = hashlib.sha256()
    for module in (archives, documents, plain):
        with open(module.__file__, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def extract(task):
    """Writes a package's documents one after the other, with an index beside them; returns the index."""
    folder, name, share = task
    target, made = os.path.join(folder, "documents", name), {"share": share, "rules": rules()}
    index = read_json(target + ".json")
    if index and made.items() <= index.items():
        return index
    start, deb = time.monotonic(), fetched(folder, name)
    entries, left_out, offset = [], {}, 0
    with open(target + ".part", "wb") as file:
        for path, kind, text, reason in documents.of_package(name, deb, share):
            if reason:
                left_out[reason] = left_out.get(reason, 0) + 1
            else:
                content = text.encode()
                entries.append([kind, offset, len(content)])
                file.write(content)
                offset += len(content)
    os.replace(target + ".part", target + ".txt")
    version = subprocess.run(["dpkg-deb", "-f", deb, "Version"], check=True, capture_output=True,
                             text=True).stdout.strip()
    index = {"package": name, "version": version, "sha256": digest_of(deb), **made,
             "left_out": left_out, "bytes": offset,
             "seconds": round(time.monotonic() - start, 1), "documents": entries}
    write_json(target + ".json", index)
    return index


def paragraph_hash(paragraph):
    """A hash of the words of a paragraph, whatever the space between them."""
    return int.from_bytes(hashlib.blake2b(b" ".join(paragraph.split()), digest_size=8).digest(), "big")


def unseen(content, seen):
    """The paragraphs of a document that no document before it has, and the bytes of the others."""
    kept, repeated = [], 0
    for paragraph in content.split(b"\n\n"):
        if len(paragraph) >= LEAST_PARAGRAPH:
            found = paragraph_hash(paragraph)
            if found in seen:
                repeated += len(paragraph)
                continue
            seen.add(found)
        kept.append(paragraph)
    return b"\n\n".join(kept), repeated


def deduplicate(folder, indices):
    """Writes the documents that stay, in the order of their packages; returns [hash, offset, length,
    package] of each and the counts of each package.

    A paragraph that came before is removed, and a document, of which half came before, as a whole: a
    near duplicate.
    """
    seen, entries, counts, offset = set(), [], [], 0
    with open(os.path.join(folder, "unique.txt"), "wb") as file:
        for number, index in enumerate(indices):
            count = {"documents": 0, "bytes": 0, "near_duplicates": 0, "repeated_bytes": 0}
            counts.append(count)
            if not index["bytes"]:
                continue
            with open(os.path.join(folder, "documents", index["package"] + ".txt"), "rb") as source, \
                    mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as text:
                for kind, start, length in index["documents"]:
                    content, repeated = unseen(text[start:start + length], seen)
                    count["repeated_bytes"] += repeated
                    if repeated * 2 >= length or len(content) < documents.LEAST:
                        count["near_duplicates"] += 1
                        continue
                    name = hashlib.blake2b(content, digest_size=8).hexdigest()
                    if not is_kept(kind, name):
                        continue
                    entries.append([name, offset, len(content), number])
                    file.write(content)
                    offset += len(content)
                    count["documents"] += 1
                    count["bytes"] += len(content)
    return entries, counts


def is_kept(kind, name):
    """Whether a document is in the share of its kind that is kept. Its bits are not those that put documents
    in order."""
    return (int(name, 16) >> 8) % 2**16 < KEPT.get(kind, 1) * 2**16


def is_held_out(name):
    return int(name, 16) % HELD_OUT == 0


def split(folder, entries):
    """Writes train.txt and valid.txt, in the order of the documents' hashes, so that each beginning of
    them is a sample of the whole; returns the package of each document of both."""
    order = {"train": [], "valid": []}
    files = {name: open(os.path.join(folder, name + ".txt.part"), "wb") for name in order}
    with open(os.path.join(folder, "unique.txt"), "rb") as source, \
            mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as text:
        for name, offset, length, package in sorted(entries):
            part = "valid" if is_held_out(name) else "train"
            files[part].write(text[offset:offset + length] + END)
            order[part].append(package)
    for name, file in files.items():
        file.close()
        os.replace(file.name, os.path.join(folder, name + ".txt"))
    return order


def tokens_by_package(shard, end, order, count):
    """The tokens of each of `count` packages in a shard whose documents have these packages, each with the
    token `end` after it."""
    with open(shard, "rb") as file:
        file.seek(1024)
        ids = array.array("H", file.read())
    totals, start, pattern, data, document = [0] * count, 0, end.to_bytes(2, "little"), ids.tobytes(), 0
    at = data.find(pattern)
    while at >= 0:
        if at % 2 == 0:
            stop = at // 2 + 1
            totals[order[document]] += stop - start
            start, document, at = stop, document + 1, at + 1
        at = data.find(pattern, at + 1)
    if document != len(order):
        raise ValueError(f"{shard}: {document} documents, expected {len(order)}")
    return totals, len(ids)
