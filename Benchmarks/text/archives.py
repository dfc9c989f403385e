"""The files of packages and of the sources that they have as archives, as streams: nothing is unpacked to a disk."""
import gzip
import io
import lzma
import bz2
import re
import subprocess
import tarfile
import zipfile

# Those of a package's examples are sources, too; archives elsewhere are data, such as those of tests.
ARCHIVE = re.compile(
    r"^usr/(?:src/[^/]+(?:/[^/]+)?|share/doc/[^/]+/examples/examples)\.tar\.(xz|gz|bz2)$")
OPEN = {"xz": lzma.open, "gz": gzip.open, "bz2": bz2.open}


def files_of_tar(stream, prefix, wanted):
    """(path, bytes) of each wanted file of a tar, in its order, those of archives of sources too."""
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            if not member.isfile():
                continue
            path = prefix + member.name.removeprefix("./")
            found = ARCHIVE.search(path)
            if found:
                with OPEN[found[1]](archive.extractfile(member)) as inner:
                    yield from files_of_tar(inner, path + "/", wanted)
            elif path.endswith("/src.zip"):
                with zipfile.ZipFile(io.BytesIO(archive.extractfile(member).read())) as inner:
                    for name in inner.namelist():
                        if wanted(f"{path}/{name}"):
                            yield f"{path}/{name}", inner.read(name)
            elif wanted(path.removesuffix(".gz")):
                content = archive.extractfile(member).read()
                if path.endswith(".gz"):
                    path, content = path.removesuffix(".gz"), gzip.decompress(content)
                yield path, content


def files_of_package(path, wanted):
    """(path, bytes) of each wanted file of a .deb."""
    process = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", path], stdout=subprocess.PIPE)
    with process.stdout:
        yield from files_of_tar(process.stdout, "", wanted)
        # The end of a tar is padded.
        while process.stdout.read(1 << 16):
            pass
    if process.wait() != 0:
        raise OSError(f"{path}: dpkg-deb failed with status {process.returncode}")
