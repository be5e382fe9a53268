# SPDX-License-Identifier: MIT
"""What bench/compare runs: page touches, and real programs at parts of their footprint.

A Case is one row: a workload with a footprint and a RAM size. command() gives its argv with the
paging prefix where it belongs; value() finds what was measured, after verifying the result.
"""
import hashlib
import json
import os
import random
import shutil
import sys

import harness

# order, threads, content, touches per page (so that a run takes seconds)
TOUCHES = [
    ("random-read", 1, 1, 1), ("random-write", 1, 1, 1),
    ("sequential-read", 1, 1, 2), ("sequential-write", 1, 1, 2),
    ("stride-read", 1, 1, 2), ("backward-read", 1, 1, 2), ("interleaved-read", 1, 1, 2),
    ("zipf-read", 1, 1, 3), ("zipf-write", 1, 1, 3), ("phases-read", 1, 1, 4),
    ("random-read", 8, 1, 2), ("random-write", 8, 1, 2),
    ("random-read", 1, 2, 1), ("zipf-read", 1, 2, 3),
    ("random-read", 1, 4, 1), ("random-write", 1, 4, 1), ("zipf-read", 1, 4, 3),
    ("zipf-write", 1, 4, 3), ("sequential-read", 1, 4, 2),
]
QUICK_TOUCHES = [
    ("random-read", 1, 1, 1), ("sequential-read", 1, 1, 2), ("sequential-write", 1, 1, 2),
    ("zipf-read", 1, 1, 3), ("random-read", 8, 1, 2), ("random-write", 1, 4, 1),
]

# Every order once.
CHECK_TOUCHES = [t for t in TOUCHES[:12] if t[:2] != ("random-read", 1)] + [("random-read", 1, 4, 1)]

# RAM of a real workload as a part of its footprint. In "fits" no page ever leaves.
PARTS = {"half": 0.5, "quarter": 0.25, "fits": 1.25}


class Case:
    unit = "s"
    is_fitting = False
    higher_is_better = False
    compresses = True

    def __init__(self, name, footprint, ram):
        self.name, self.footprint, self.ram = name, footprint, ram

    def title(self):
        part = "no limit" if self.ram is None else f"{self.ram / harness.MIB:.0f} MiB"
        return f"{self.name}, {self.footprint / harness.MIB:.0f} MiB in {part}"


def own_value(case, result):
    """Of our own programs: they verify what they do and say how it went."""
    record = json.loads(result.stdout)
    if record["wrong"] != 0:
        return None, f"{record['wrong']} wrong"
    return record[case.key], None


class Touch(Case):
    unit = "/s"
    higher_is_better = True
    key = "per_s"

    def __init__(self, footprint, ram, order, threads, content, passes, verify=False):
        name = f"touch {order}" + (f" x{threads}" if threads > 1 else "") + f" {content}:1"
        super().__init__(name, footprint, ram)
        self.compresses = content >= 4
        self.argv = [harness.built("bench/touch"), "--workload", order, "--threads", str(threads),
                     "--footprint", str(footprint), "--content", str(content), "--touches",
                     str(passes * footprint // harness.PAGE)] + (["--verify"] if verify else [])

    def command(self, prefix, is_plain):
        return [*prefix, *self.argv, *(["--no-thp"] if is_plain else [])]

    def value(self, result):
        return own_value(self, result)


class Real:
    """A real workload, before it is known how much memory it takes."""
    needs = ()

    def __init__(self, scratch, nominal):
        self.scratch, self.nominal = scratch, nominal
        self.expected = None # the digest of the plain run's result

    def prepare(self):
        """Inputs, once."""

    def seconds(self, result):
        return result.wall

    def digest(self, result):
        """What must be the same in every run."""
        return result.stdout

    def value(self, result):
        digest = self.digest(result)
        if self.expected is None:
            self.expected = digest
        elif digest != self.expected:
            return None, "the result differs from the plain run's"
        return self.seconds(result), None


class RealCase(Case):
    def __init__(self, real, footprint, part, ram):
        super().__init__(f"{real.name} {part}", footprint, ram)
        self.real, self.part = real, part
        self.is_fitting = part == "fits"

    def command(self, prefix, is_plain):
        return self.real.command(prefix)

    def value(self, result):
        return self.real.value(result)


class Sort(Real):
    name = "sort"
    needs = ("sort",)

    def prepare(self):
        rng = random.Random(1)
        with open(self.scratch / "text", "wb") as f:
            # Records of 1000 characters behind a key of 20; half of them compress well.
            for i in range(self.nominal // 1060):
                key = b"%020d" % rng.getrandbits(64)
                filler = rng.randbytes(490).hex().encode() if i % 2 else (key * 50)[:980]
                f.write(key + filler + b"\n")

    def command(self, prefix):
        return [*prefix, "sort", "--parallel=2", "-S", f"{2 * self.nominal}b",
                "-o", str(self.scratch / "sorted"), str(self.scratch / "text")]

    def digest(self, result):
        with open(self.scratch / "sorted", "rb") as f:
            return hashlib.file_digest(f, "blake2b").hexdigest()


class Own(Real):
    """One of our C programs."""

    def command(self, prefix):
        return [*prefix, harness.built(f"bench/{self.program}"), "--footprint", str(self.nominal)]

    def digest(self, result):
        record = json.loads(result.stdout)
        return [record.get(key) for key in ("wrong", "checksum", "matches", "numbers")]

    def value(self, result):
        if json.loads(result.stdout)["wrong"] != 0:
            return None, "it computed something wrong"
        return super().value(result)


class PageRank(Own):
    name = program = "pagerank"


class HashJoin(Own):
    name, program = "hash-join", "hash_join"


class SortArray(Own):
    name, program = "sort-array", "sort_array"


class Redis(Own):
    name, program = "redis", "redis_zipf"
    needs = ("redis-check-rdb",)

    def prepare(self):
        # Debian's redis-server is this binary under another name; the package of that name would
        # start a service.
        server = self.scratch / "redis-server"
        server.symlink_to(shutil.which("redis-server") or shutil.which("redis-check-rdb"))

    def command(self, prefix):
        socket = self.scratch / "redis.socket"
        socket.unlink(missing_ok=True)
        return [harness.built("bench/redis_zipf"), "--socket", str(socket), "--footprint",
                str(self.nominal), "--gets", str(self.nominal // 1024), "--", *prefix,
                str(self.scratch / "redis-server"), "--port", "0", "--unixsocket", str(socket),
                "--save", "", "--appendonly", "no", "--dir", str(self.scratch)]

    def seconds(self, result):
        return json.loads(result.stdout)["seconds"]


PYTHON = """
import sys
n, d, total = int(sys.argv[1]), {}, 0
for i in range(n):
    d[f"key {i * 7919 % n:08}"] = [i, str(i)]
for step in (3, 5, 7):
    for i in range(0, n, step):
        d.pop(f"key {i:08}", None)
    for i in range(0, n, step):
        d[f"key {i:08}"] = [i + step, "again"]
    total += sum(v[0] for v in d.values())
print(len(d), total)
"""


class Python(Real):
    name = "python-dict"

    def prepare(self):
        (self.scratch / "dict.py").write_text(PYTHON)

    def command(self, prefix):
        # Strings, lists and their share of the dictionary: about 310 bytes an entry. Half as many
        # as would make the footprint: short of memory, that takes minutes.
        return [*prefix, os.path.realpath(sys.executable), str(self.scratch / "dict.py"),
                str(self.nominal // 620)]


SQL = """
CREATE TABLE item(id INTEGER PRIMARY KEY, owner INT, price INT, name TEXT);
INSERT INTO item WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<{n})
  SELECT x, (x*2654435761)%{owners}, (x*40503)%9973, printf('item %032d', (x*69069)%1000003) FROM c;
CREATE INDEX by_owner ON item(owner);
SELECT count(*), sum(price) FROM item WHERE owner < {owners}/4;
SELECT owner, sum(price) s FROM item GROUP BY owner ORDER BY s DESC, owner LIMIT 10;
UPDATE item SET price = price + 1 WHERE id % 5 = 0;
SELECT count(*), sum(a.price - b.price) FROM item a JOIN item b ON b.id = (a.id*31)%{n}+1
  WHERE a.id % 10 = 0;
SELECT sum(length(name)), max(name) FROM item;
"""


class Sqlite(Real):
    name = "sqlite"
    needs = ("sqlite3",)

    def prepare(self):
        n = self.nominal // 100
        (self.scratch / "queries.sql").write_text(SQL.format(n=n, owners=n // 20 + 1))

    def command(self, prefix):
        return [*prefix, "sqlite3", "-batch", ":memory:", f".read {self.scratch / 'queries.sql'}"]


REALS = [Sort, PageRank, HashJoin, Python, Sqlite, Redis, SortArray]
NAMES = sorted({"touch-" + t[0] for t in TOUCHES}) + [r.name for r in REALS] + ["touch", "real"]


def touch_cases(args):
    chosen = TOUCHES
    if args.check:
        chosen = CHECK_TOUCHES
    elif args.quick and not args.workload:
        chosen = QUICK_TOUCHES
    for touch in chosen:
        if not args.workload or {"touch", "touch-" + touch[0]} & set(args.workload):
            yield Touch(args.footprint, args.ram, *touch, verify=args.verify)


def real_workloads(args, scratch):
    for real in REALS:
        if args.workload and not {"real", real.name} & set(args.workload):
            continue
        place = scratch / real.name
        place.mkdir()
        yield real(place, args.real_footprint)
