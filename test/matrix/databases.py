# SPDX-License-Identifier: MIT
"""Databases: SQLite in memory, Redis over loopback, PostgreSQL over a Unix socket."""
import glob
import os
import socket
import subprocess
import time

import harness
from case import Case, Cell, Script

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
    sizes = (100, 1000)

    def prepare(self):
        (self.scratch / "query.sql").write_text(SQL.format(rows=self.size * 1000))

    def argv(self, cell):
        return ["sqlite3", "-batch", ":memory:"]

    def stdin(self):
        return open(self.scratch / "query.sql", "rb")


class Redis(Case):
    """Thousands of values of 1000 bytes, written and read back over loopback."""
    name = "redis"
    needs = ["redis-cli", "redis-benchmark", "redis-check-rdb"]
    sizes = (10, 200)

    def prepare(self):
        with open(self.scratch / "fill", "wb") as f:
            for i in range(self.size * 1000):
                key, value = f"value:{i}".encode(), self.random.randbytes(500).hex().encode()
                f.write(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n"
                        % (len(key), key, len(value), value))
        with open(self.scratch / "gets", "w", encoding="ascii") as f:
            keys = [f"value:{i}" for i in range(0, self.size * 1000, 3)]
            keys += [f"key:{i:012}" for i in range(self.nr_keys())]
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

    def nr_keys(self):
        return 100 * self.size

    def left(self):
        return self.end - time.monotonic()

    def load(self):
        """Writes without an end in sight: 25 for each key; that one is never chosen has a chance
        of 1e-11."""
        return ["-t", "set", "-n", str(25 * self.nr_keys()), "-r", str(self.nr_keys()),
                "-d", "2000", "-P", "16", "-c", "8", "-q"]

    def wait_until_up(self, server):
        for attempt in range(400):
            try:
                self.client("redis-cli", "-e", "PING")
                return
            except OSError:
                if attempt == 399 or server.child.poll() is not None:
                    raise
                time.sleep(0.05)

    def converse(self, server, cell):
        self.client("redis-cli", "--pipe", stdin=self.scratch / "fill", timeout=self.left())
        self.client("redis-benchmark", *self.load(), timeout=self.left())
        self.read_back(cell.out)

    def read_back(self, out):
        with open(out, "wb") as f:
            self.client("redis-cli", stdin=self.scratch / "gets", out=f, timeout=self.left())

    def serve(self, cell, talk):
        """Run a server and @talk(server, cell) with it. Return: the server's Result."""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        server = harness.Program(
            [*cell.as_user, *cell.wrap, str(self.scratch / "redis-server"), "--port",
             str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
             "--dir", str(cell.place)], stdout=subprocess.DEVNULL)
        try:
            self.wait_until_up(server)
            talk(server, cell)
            if cell.sample:
                server.sample()
            self.client("redis-cli", "SHUTDOWN", "NOSAVE", timeout=self.left())
            result = server.wait(cell.timeout)
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

    def run(self, cell):
        self.end = time.monotonic() + cell.timeout
        return self.serve(cell, self.converse)


class RedisSave(Redis):
    """BGSAVE while clients write: the forked child's dump, loaded by a plain server, holds
    exactly what was there at the fork (the keys that the clients do not touch)."""
    name = "redis-bgsave"

    def converse(self, server, cell):
        self.client("redis-cli", "--pipe", stdin=self.scratch / "fill", timeout=self.left())
        load = subprocess.Popen(["redis-benchmark", "-p", str(self.port), *self.load()],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            self.client("redis-cli", "BGSAVE", timeout=self.left())
            while b"rdb_bgsave_in_progress:1" in self.persistence():
                if self.left() < 0:
                    raise OSError("BGSAVE does not end")
                time.sleep(0.02)
            if b"rdb_last_bgsave_status:ok" not in self.persistence():
                raise OSError("BGSAVE failed")
            load.wait(max(self.left(), 1))
        finally:
            load.kill()
            load.wait()
        check = subprocess.run(["redis-check-rdb", str(cell.place / "dump.rdb")], check=False,
                               stdout=subprocess.PIPE, timeout=max(self.left(), 1))
        if check.returncode != 0:
            raise OSError(f"redis-check-rdb: {check.stdout[-200:]!r}")
        self.read_back(cell.out)

    def persistence(self):
        return subprocess.run(["redis-cli", "-p", str(self.port), "INFO", "persistence"],
                              stdout=subprocess.PIPE, timeout=60, check=True).stdout

    def verify_dump(self, _, cell):
        """The dump, read back by a plain server: all that was there before the load."""
        with open(self.scratch / "values", "w", encoding="ascii") as f:
            f.writelines(f"GET value:{i}\n" for i in range(self.size * 1000))
        with open(cell.out, "ab") as f:
            self.client("redis-cli", stdin=self.scratch / "values", out=f, timeout=self.left())

    def run(self, cell):
        self.end = time.monotonic() + cell.timeout
        result = self.serve(cell, self.converse)
        if result.problem() is None:
            plain = Cell([], cell.as_user, cell.place, cell.timeout)
            other = self.serve(plain, self.verify_dump)
            if other.problem() is not None:
                return other
        return result


class Postgres(Script):
    """initdb, a server, two pgbench clients, a hash join and a sort in memory, and a dump. What
    pages is the private memory of the processes: the shared buffers are shared, and small."""
    name = "postgres"
    needs = ["psql"]
    sizes = (1, 4)
    only_user = "PostgreSQL refuses to run as root"
    script = r"""
export PATH="$PGBIN:/usr/lib/postgresql/${PGBIN##*postgresql/}:$PATH" PGHOST="$PWD/s" PGDATABASE=postgres PGUSER=test PGTZ=UTC
mkdir s
initdb -D data -U test -A trust -E UTF8 --locale=C --no-sync >initdb.log
postgres -D data -c listen_addresses= -c unix_socket_directories="$PWD/s" -c fsync=off \
	-c shared_buffers=8MB -c jit=off -c max_parallel_workers_per_gather=2 >server.log 2>&1 &
server=$!
trap 'kill -QUIT $server 2>/dev/null || :; wait $server || :; tail -n 5 server.log >&2' EXIT
for ((i = 0; i < 600; i++)); do
	pg_isready -q && break
	kill -0 $server
	sleep 0.1
done
pgbench -i -q -s "$SIZE" 2>/dev/null
pgbench -n -c 2 -j 2 -t $((SIZE * 200)) --random-seed=7 >pgbench.log 2>&1
psql -qAtX -v ON_ERROR_STOP=1 -v rows=$((SIZE * 50000)) <<'SQL'
SET work_mem = '1GB';
SET max_parallel_workers_per_gather = 0;
SELECT md5(string_agg(t, ',' ORDER BY h)) FROM
	(SELECT md5(i::text) h, i || repeat('x', i % 50) t FROM generate_series(1, :rows) i) q;
SELECT count(*), sum(a.i) FROM generate_series(1, :rows) a(i)
	JOIN (SELECT j * 3 k, md5(j::text) m FROM generate_series(1, :rows) j) b ON b.k = a.i
	WHERE b.m > '2';
SELECT sum(abalance) = (SELECT sum(bbalance) FROM pgbench_branches),
	(SELECT count(*) FROM pgbench_history) FROM pgbench_accounts;
ALTER TABLE pgbench_history DROP COLUMN mtime;
SQL
pg_dump | grep -v '^.\(un\)\?restrict ' | sort
trap - EXIT
kill -INT $server
wait $server
"""

    @staticmethod
    def bin():
        """Where initdb and its like are; Debian keeps them out of the PATH."""
        homes = [os.environ.get("MATRIX_POSTGRES", ""), *glob.glob("/usr/lib/postgresql/*")]
        return next((f"{h}/bin" for h in homes if os.path.exists(f"{h}/bin/initdb")), None)

    @staticmethod
    def lost():
        return [] if Postgres.bin() else ["postgresql (initdb)"]

    def env(self):
        return dict(super().env(), PGBIN=self.bin() or "")


CASES = [Sqlite, Redis, RedisSave, Postgres]
