# SPDX-License-Identifier: MIT
"""The programs of the matrix: what each needs, its input, and how it is run.

All inputs are generated from fixed seeds, and every output depends on the input only. The sizes
are chosen so that a run in a quarter of the memory thrashes but ends: (short, full).
"""
import os
import pathlib
import random
import socket
import subprocess
import time

import harness

WORDS = [f"{a}{b}" for a in ["ga", "lo", "mi", "ter", "sun", "ka", "vor", "ne"]
         for b in ["pel", "dra", "mont", "lis", "quo", "ber", "zan", "tu", "ri", "sho"]]


class Case:
    name = ""
    needs = []
    sizes = (1, 1)

    def __init__(self, scratch, size):
        self.scratch = scratch
        self.size = size
        self.random = random.Random(self.name)

    def prepare(self):
        """Make the input."""

    def argv(self, out):
        """The command. It writes its result to stdout, which is the file @out, or there itself."""
        raise NotImplementedError

    def stdin(self):
        return subprocess.DEVNULL

    def run(self, wrap, out, timeout, sample=False):
        env = dict(os.environ, LC_ALL="C", PYTHONHASHSEED="0")
        with open(out, "wb") as f:
            return harness.run([*wrap, *self.argv(out)], timeout, sample, stdout=f,
                               stdin=self.stdin(), env=env, cwd=self.scratch)

    def words(self, count):
        return " ".join(self.random.choices(WORDS, k=count))


class Sort(Case):
    """Megabytes of text, all in memory."""
    name = "sort"
    needs = ["sort"]
    sizes = (24, 400)

    def prepare(self):
        with open(self.scratch / "lines", "w", encoding="ascii") as f:
            text = self.words(200)
            for _ in range(self.size * harness.MIB // 820):
                at = self.random.randrange(500)
                f.write(f"{self.random.getrandbits(64):016x} {text[at:at + 800]}\n")

    def argv(self, out):
        return ["sort", "-S", f"{2 * self.size}M", "--parallel=2", "lines"]


PYTHON_SCRIPT = """
import hashlib, random, sys
n = int(sys.argv[1])
r = random.Random(5)
tail = "".join(chr(97 + i % 26) for i in range(400))
rows = ["%016x%s" % (r.getrandbits(64), tail) for i in range(n)]
index = {row[:8]: i for i, row in enumerate(rows)}
rows.sort()
total = sum(int(row[:16], 16) for row in rows)
numbers = sorted(i * 7919 % 1000003 for i in range(n // 2))
digest = hashlib.sha256()
for row in rows:
    digest.update(row.encode())
print(len(index), total, sum(numbers), digest.hexdigest())
for row in rows[::97]:
    print(row[:24], index[row[:8]])
"""


class Python(Case):
    """Thousands of string objects of some 450 bytes."""
    name = "python3"
    needs = ["/usr/bin/python3"]
    sizes = (25, 400)

    def prepare(self):
        (self.scratch / "objects.py").write_text(PYTHON_SCRIPT)

    def argv(self, out):
        return ["/usr/bin/python3", "objects.py", str(self.size * 1000)]


class PythonShim(Python):
    """The same behind a shell script, as version managers put one in front of python3."""
    name = "python3-shim"

    def prepare(self):
        super().prepare()
        shim = self.scratch / "shim"
        shim.mkdir(exist_ok=True)
        (shim / "python3").write_text('#!/bin/sh\nexec /usr/bin/python3 "$@"\n')
        (shim / "python3").chmod(0o755)

    def argv(self, out):
        return [str(self.scratch / "shim" / "python3"), *super().argv(out)[1:]]


SQL = """
PRAGMA temp_store = MEMORY;
CREATE TABLE item(id INTEGER PRIMARY KEY, kind INTEGER, amount INTEGER, note TEXT);
CREATE TABLE kind(id INTEGER PRIMARY KEY, name TEXT);
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
INSERT INTO kind SELECT i, 'kind ' || i FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
INSERT INTO item SELECT i, i * 7919 % 1000, i * 104729 % 1000003,
  'note number ' || i || ' of {rows}, no more than a few words' FROM n;
CREATE INDEX item_amount ON item(amount);
SELECT count(*), sum(amount), min(amount), max(amount) FROM item;
SELECT kind.name, count(*), sum(item.amount) FROM item JOIN kind ON kind.id = item.kind
  GROUP BY kind.id ORDER BY 3 DESC, 1 LIMIT 200;
SELECT a.id, b.id, b.note FROM item a JOIN item b ON b.amount = a.amount + 1
  WHERE a.id % 997 = 0 ORDER BY a.id LIMIT 2000;
UPDATE item SET amount = amount + 1000003 WHERE id % 50 = 7;
SELECT amount, note FROM item INDEXED BY item_amount WHERE amount > 1000003 ORDER BY amount LIMIT 500;
"""


class Sqlite(Case):
    """An in-memory database of so many thousand rows, joins and an index."""
    name = "sqlite3"
    needs = ["sqlite3"]
    sizes = (300, 1000)

    def prepare(self):
        (self.scratch / "query.sql").write_text(SQL.format(rows=self.size * 1000))

    def argv(self, out):
        return ["sqlite3", "-batch", ":memory:"]

    def stdin(self):
        return open(self.scratch / "query.sql", "rb")


class Xz(Case):
    """Megabytes of text, in two blocks, so that both threads have work."""
    name = "xz"
    needs = ["xz"]
    sizes = (2, 16)

    def prepare(self):
        with open(self.scratch / "text", "w", encoding="ascii") as f:
            while f.tell() < self.size * harness.MIB:
                f.write(f"{self.random.randrange(10000)} {self.words(60)}\n")

    def argv(self, out):
        return ["xz", "-9", "-T2", f"--block-size={self.size // 2}MiB", "-c", "text"]


GCC_FUNCTION = """
static int table_{i}[64];
int step_{i}(int a, int b, const int *p)
{{
	int x = a * {x} + b, y = {y};
	for (int i = 0; i < 64; i++) {{
		switch ((x ^ i) & 7) {{
		case 0: y += p[i] * {x}; break;
		case 1: y ^= step_{j}(x, y, table_{i}); break;
		case 2: x -= y / ({y} | 1); break;
		case 3: table_{i}[i] = x + y; break;
		case 4: y = (y << 3) + p[(x + i) & 63]; break;
		default: x = x * 31 + table_{i}[(y >> 2) & 63]; break;
		}}
	}}
	return x + y + table_{i}[a & 63];
}}
"""


class Gcc(Case):
    """One source of so many functions."""
    name = "gcc"
    needs = ["gcc"]
    sizes = (400, 4000)

    def prepare(self):
        with open(self.scratch / "large.c", "w", encoding="ascii") as f:
            for i in range(self.size):
                f.write(f"int step_{i}(int a, int b, const int *p);\n")
            for i in range(self.size):
                f.write(GCC_FUNCTION.format(i=i, j=(i * 7 + 1) % self.size,
                                            x=self.random.randrange(1000),
                                            y=self.random.randrange(1000)))

    def argv(self, out):
        return ["gcc", "-O2", "-S", "-o", str(out), "large.c"]


class Redis(Case):
    """Thousands of values of 1000 bytes, written and read back over loopback."""
    name = "redis"
    needs = ["redis-cli", "redis-benchmark", "redis-check-rdb"]
    sizes = (30, 200)
    nr_bench_keys = 4000

    def prepare(self):
        with open(self.scratch / "fill", "wb") as f:
            for i in range(self.size * 1000):
                key, value = f"value:{i}".encode(), self.random.randbytes(500).hex().encode()
                f.write(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n"
                        % (len(key), key, len(value), value))
        with open(self.scratch / "gets", "w", encoding="ascii") as f:
            keys = [f"value:{i}" for i in range(0, self.size * 1000, 3)]
            keys += [f"key:{i:012}" for i in range(self.nr_bench_keys)]
            self.random.shuffle(keys)
            f.write("DBSIZE\n" + "".join(f"GET {key}\n" for key in keys))
        # Debian's redis-server is this binary under another name; the package of that name would
        # start a service.
        server = self.scratch / "redis-server"
        if not server.exists():
            server.symlink_to("/usr/bin/redis-check-rdb")

    def client(self, program, *args, out=subprocess.DEVNULL, stdin=None, timeout=60):
        with open(stdin or "/dev/null", "rb") as f:
            done = subprocess.run([program, "-p", str(self.port), *args], stdin=f, stdout=out,
                                  stderr=subprocess.PIPE, timeout=max(timeout, 1), check=False)
        if done.returncode != 0:
            raise OSError(f"{program}: {done.stderr.decode(errors='replace')[:200]}")

    def converse(self, server, out, end, sample):
        for attempt in range(200):
            try:
                self.client("redis-cli", "PING")
                break
            except OSError:
                if attempt == 199 or server.child.poll() is not None:
                    raise
                time.sleep(0.05)
        left = lambda: end - time.monotonic()
        self.client("redis-cli", "--pipe", stdin=self.scratch / "fill", timeout=left())
        # 25 writes for each key: that one is never chosen has a chance of 1e-11.
        self.client("redis-benchmark", "-t", "set", "-n", str(25 * self.nr_bench_keys), "-r",
                    str(self.nr_bench_keys), "-d", "2000", "-P", "16", "-c", "8", "-q", timeout=left())
        with open(out, "wb") as f:
            self.client("redis-cli", stdin=self.scratch / "gets", out=f, timeout=left())
        if sample:
            server.sample()
        self.client("redis-cli", "SHUTDOWN", "NOSAVE", timeout=left())

    def run(self, wrap, out, timeout, sample=False):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        end = time.monotonic() + timeout
        server = harness.Program(
            [*wrap, str(self.scratch / "redis-server"), "--port", str(self.port), "--bind",
             "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self.scratch)],
            stdout=subprocess.DEVNULL)
        try:
            self.converse(server, out, end, sample)
            result = server.wait(timeout)
        except (OSError, subprocess.TimeoutExpired) as error:
            server.result.timed_out = isinstance(error, subprocess.TimeoutExpired)
            server.end()
            result = server.result
            result.stderr += f" {error}"
            if result.status == 0:
                result.status = 1
        finally:
            server.end()
        return result


CASES = [Sort, Python, PythonShim, Sqlite, Xz, Gcc, Redis]
