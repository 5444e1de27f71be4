"""A class handed in: answers to the example lab of which the points are known, and five that attack the grader."""

import random
import struct
import zlib
from base64 import b64encode
from pathlib import Path

import nbformat

from labkit.course.grade.demo import HANGS, MEAN, NO_CONSTANT, OTHERWISE, RIGHT, fill
from labkit.course.grade.layout import Place
from labkit.files import write_text

RIGHT_DENSITY, RIGHT_COUNTS = RIGHT["log-density"], RIGHT["components"]
LOOP = """\
def log_density(x):
    rows = [sum(-0.5 * float(v) ** 2 - 0.5 * math.log(2 * math.pi) for v in row) for row in x]
    return torch.tensor(rows, dtype=x.dtype)"""
UNDERFLOWS = """\
def log_density(x):
    return torch.log(torch.exp(-0.5 * x.square().sum(1))) - 0.5 * x.shape[1] * math.log(2 * math.pi)"""
# Answer → the points it should get, of 4.
DENSITIES = {
    RIGHT_DENSITY: 4, OTHERWISE: 4, LOOP: 4, NO_CONSTANT: 3, MEAN: 3, UNDERFLOWS: 3,
    RIGHT_DENSITY.replace("x.shape[1]", "3"): 3,
    RIGHT_DENSITY.replace("+ x.square", "- x.square"): 3,
    "def log_density(x):\n    return torch.zeros(len(x))": 0,
    "def log_density(x):\n    raise NotImplementedError": 0,
}  # fmt: skip
COUNTS = {
    RIGHT_COUNTS: 4.0,
    RIGHT_COUNTS.replace(" + 1", ""): 3.2,
    RIGHT_COUNTS.replace("share))", "share, side='right'))"): 3.2,
    RIGHT_COUNTS.replace("round(", "int("): 3.2,
    RIGHT_COUNTS.replace("2 ** round(np.log2(count))", "2.0 ** round(np.log2(count))"): 3.2,
    RIGHT_COUNTS.replace(" + 1", "").replace("round(", "int("): 0.0,
    "def components_for(share, ratios):\n    return 3\n\n\ndef nearest_power_of_two(count):\n    return 64": 0.0,
}  # fmt: skip
DECODED = """
from labkit.course.grade.talk.protocol import wire
text = '{"return": {"set": [%s]}}' % ",".join(str(k * (2**61 - 1)) for k in range(40_000))
wire.json = type("json", (), {"dumps": lambda *a, **k: text, "loads": wire.json.loads})
"""
FLOOD = """
held = []
try:
    while True:
        held.append(bytearray(64 * 2**20))
        held[-1][::4096] = bytes([1]) * len(held[-1][::4096])
except MemoryError:
    held.clear()
while True:
    print("x" * 10**6)
"""
FORKS = """
import os, signal, time
for _ in range(400):
    try:
        if not os.fork():
            os.setsid()
            while True:
                pass
    except OSError:
        break
os.kill(os.getpid(), signal.SIGKILL)
"""
INSIDE = RIGHT_COUNTS.replace("    return int(", "    BEFORE\n    return int(", 1)
HOSTILE = {
    "sleeps, and pastes a picture of 20,000 by 20,000": INSIDE.replace("BEFORE", "import time; time.sleep(10**6)"),
    "loops": HANGS,
    "floods memory and output": RIGHT_COUNTS + "\n" + FLOOD,
    "forks and kills its kernel": RIGHT_COUNTS + "\n" + FORKS,
    "answers with numbers that all collide": RIGHT_COUNTS + "\n" + DECODED,
}


def picture(size: int) -> str:
    """A PNG, base64, of a few kilobytes a thousand rows, which unpacks to size² bytes."""
    packed = zlib.compressobj(9)
    row = bytes(size + 1)
    data = b"".join(packed.compress(row) for _ in range(size)) + packed.flush()
    parts = ((b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))
    chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    return b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()


def hand_in(place: Place, students: int, hostile: bool, seed: int = 0) -> dict[str, float | None]:
    """Write handed-in/<student>/ of a released example course; student → the points of the tests, None if hostile.

    The same students hand in the same with and without the hostile ones, whose places honest ones take.
    """
    chosen = random.Random(seed)
    attackers = dict(zip(chosen.sample(range(students), len(HOSTILE)), HOSTILE.items(), strict=True))
    text, expected = place.release.read_text(encoding="utf-8"), {}
    for number in range(students):
        notebook = nbformat.reads(text, as_version=4)
        (density, first), (counts, second) = chosen.choice([*DENSITIES.items()]), chosen.choice([*COUNTS.items()])
        student, points = f"student-{number:03d}", round(first + second, 6)
        if hostile and number in attackers:
            what, counts = attackers[number]
            student, density, points = f"student-{number:03d}-{what.split()[0].strip(',')}", RIGHT_DENSITY, None
        fill(notebook, log_density=density, components=counts)
        if hostile and number in attackers and "picture" in attackers[number][0]:
            essay = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "essay")
            essay.source += "\n![](attachment:a.png)" + "<style " * 20_000
            essay.attachments = {"a.png": {"image/png": picture(20_000)}}
        expected[student] = points
        write_text(Path(place.course) / "handed-in" / student / place.lab.path.name, nbformat.writes(notebook))
    return expected
