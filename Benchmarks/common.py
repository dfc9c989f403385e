"""Helpers of the benchmark drivers."""
import datetime
import json
import os
import platform
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MGLU = os.path.join(HERE, "..", ".build", "release", "mglu")


def processor():
    """The model of the processor."""
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def run(command, what=""):
    """Runs a command that prints one JSON document; returns it and the first line of its notes."""
    found = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if found.returncode != 0:
        lines = found.stderr.decode().strip().splitlines() or ["no message"]
        sys.exit(f"{what or command[0]} failed:\n{lines[-1]}")
    notes = found.stderr.decode().splitlines()
    return json.loads(found.stdout), notes[0] if notes else ""


def write(name, result):
    """Writes results/NAME with today's date and this machine's processor."""
    result = {"date": datetime.date.today().isoformat(), "device": processor(), **result}
    with open(path(name), "w") as file:
        json.dump(result, file, indent=1)
        file.write("\n")


def read(name):
    """The content of results/NAME, or an empty dictionary if there is no such file."""
    try:
        with open(path(name)) as file:
            return json.load(file)
    except OSError:
        return {}


def path(name):
    """The path of a result."""
    return os.path.join(HERE, "results", name)
