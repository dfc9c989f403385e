"""A text in compressed parts, to bring it to another machine."""
import lzma
import multiprocessing
import os

from text.packing import END


def boundaries(path, size):
    """Where parts of about `size` bytes begin and end: after whole documents."""
    total, start = os.path.getsize(path), 0
    with open(path, "rb") as file:
        while start < total:
            stop = min(start + size, total)
            while stop < total:
                file.seek(stop)
                found = file.read(1 << 20)
                at = found.find(END)
                if at >= 0:
                    stop += at + len(END)
                    break
                # The end's first bytes may be the last of what was read.
                stop = min(stop + max(1, len(found) - len(END)), total)
            yield start, stop
            start = stop


def compress(task):
    """Writes a part where it is not there yet; returns its bytes."""
    path, start, stop, target = task
    if not os.path.exists(target):
        with open(path, "rb") as file:
            file.seek(start)
            text = file.read(stop - start)
        with open(target + ".part", "wb") as file:
            file.write(lzma.compress(text, preset=6))
        os.replace(target + ".part", target)
    return os.path.getsize(target)


def write(path, folder, size, jobs):
    """Writes the parts of a text, NAME-000.txt.xz and so on; returns the bytes of each."""
    os.makedirs(folder, exist_ok=True)
    name = os.path.splitext(os.path.basename(path))[0]
    tasks = [(path, start, stop, os.path.join(folder, f"{name}-{number:03}.txt.xz"))
             for number, (start, stop) in enumerate(boundaries(path, size))]
    with multiprocessing.Pool(jobs) as pool:
        return pool.map(compress, tasks, chunksize=1)
