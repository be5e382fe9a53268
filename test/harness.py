# SPDX-License-Identifier: MIT
"""What the runners under test/ and bench/ share: starting a program with a time limit, watching
its memory, reading Faultline's JSON, and one line per result.

Every runner prints `ok NAME`, `FAILED NAME: why` or `skipped NAME: why`, which ./check counts.
"""
import ctypes
import json
import os
import pathlib
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = 4096
MIB = 1 << 20
NOBODY = 65534


# Ended from outside, a runner still ends its programs and takes away its files.
for _signal in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_signal, lambda number, _: sys.exit(128 + number))


def built(path):
    """The program `path` of the build in use: $BUILD, or build, or build-check."""
    for build in [os.environ.get("BUILD"), "build", "build-check"]:
        if build and (ROOT / build / path).exists():
            return str((ROOT / build / path).resolve())
    sys.exit(f"{os.path.basename(sys.argv[0])}: {path} is not built; run ./check or ./quickstart")


def faultline():
    return os.environ.get("FAULTLINE") or built("cli/faultline")


def parse_size(text):
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    unit = units.get(text[-1:].upper())
    return int(float(text[:-1]) * unit) if unit else int(text)


class Tally:
    """Prints results as they come; finish() ends the runner with the right status."""

    def __init__(self):
        self.failed = 0

    def ok(self, name, note=""):
        print(f"ok {name}" + (f" ({note})" if note else ""), flush=True)

    def fail(self, name, why):
        self.failed += 1
        print(f"FAILED {name}: " + " ".join(str(why).split()), flush=True)

    def skip(self, name, why):
        print(f"skipped {name}: {why}", flush=True)

    def finish(self):
        sys.exit(1 if self.failed else 0)


class Result:
    """How a program ended: status (negative: by that signal), wall seconds, its stderr, and the
    largest RssAnon that any one of its processes had; rss_last: at the last look that saw any."""

    def __init__(self):
        self.status = None
        self.timed_out = False
        self.wall = 0.0
        self.stderr = ""
        self.stdout = ""
        self.rss_peak = self.rss_last = 0

    def problem(self):
        if self.timed_out:
            return f"still running after {self.wall:.0f} s; killed"
        if self.status != 0:
            how = f"status {self.status}" if self.status > 0 else signal.Signals(-self.status).name
            return f"ended with {how}: {self.stderr.strip()[-300:]}"
        return None


def session_pids(sid):
    """The processes of session @sid."""
    pids = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as f:
                fields = f.read().rpartition(b")")[2].split()
            if int(fields[3]) == sid:
                pids.append(int(entry))
        except (OSError, IndexError):
            pass
    return pids


def adopt_orphans():
    """From now on whatever a Program leaves behind becomes our child, so that it can be ended too,
    in a session of its own as it may be (PostgreSQL's processes make one each). Then all that we
    started is taken to belong to the one Program that is running."""
    pr_set_child_subreaper = 36
    Program.adopts = True
    if ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def descendants(root):
    """All processes that descend from @root, which is not among them."""
    children = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as f:
                parent = int(f.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(entry))
    found = list(children.get(root, []))
    for pid in found:
        found += children.get(pid, [])
    return found


def memory_of(pid):
    """Bytes of @pid: RssAnon, all that is resident of files, and the high watermark of both."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
            status = dict(line.split(":", 1) for line in f)
    except OSError:
        status = {}
    size = {key: int(status.get(key, "0").split()[0]) << 10
            for key in ("RssAnon", "RssFile", "RssShmem", "VmHWM")}
    return size["RssAnon"], size["RssFile"] + size["RssShmem"], size["VmHWM"]


def child_faults():
    """(major, minor) faults of all our children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_majflt, usage.ru_minflt


def as_nobody(argv, with_ptrace=False):
    """@argv as an ordinary user; @with_ptrace: who holds the one capability that the engine
    `uffd` needs."""
    caps = ["--inh-caps=+sys_ptrace", "--ambient-caps=+sys_ptrace"] if with_ptrace else []
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *caps, "--", *argv]


class Program:
    """A program in a session of its own, so that it can be ended whole, by pid."""
    adopts = False

    def __init__(self, argv, **options):
        self.result = Result()
        self.errors = tempfile.TemporaryFile()
        self.looked = {} # by pid: what sample() saw last of its files and watermark
        self.start = time.monotonic()
        self.ended = None
        options.setdefault("stdin", subprocess.DEVNULL)
        self.child = subprocess.Popen(argv, stderr=self.errors, start_new_session=True, **options)

    def pids(self):
        """What is left of it: itself and all that it started, as far as that can be told."""
        if Program.adopts:
            return [pid for pid in descendants(os.getpid())
                    if pid != self.child.pid or self.child.poll() is None]
        return [pid for pid in session_pids(self.child.pid)
                if pid != self.child.pid or self.child.poll() is None]

    def sample(self):
        largest = 0
        for pid in self.pids():
            anon, files, mark = memory_of(pid)
            largest = max(largest, anon)
            # A peak may be over between two looks.
            files_before, mark_before = self.looked.get(pid, (files, mark))
            peak = mark - max(files, files_before) if mark > mark_before else anon
            self.result.rss_peak = max(self.result.rss_peak, anon, peak)
            self.looked[pid] = files, mark
        self.result.rss_last = largest or self.result.rss_last

    def wait(self, timeout, sample=False):
        """Until it ends, @timeout seconds after its start at the latest. Return: its Result."""
        try:
            if sample:
                while self.child.poll() is None and time.monotonic() < self.start + timeout:
                    self.sample()
                    time.sleep(0.01)
            left = self.start + timeout - time.monotonic()
            self.await_end(max(left, 0.01))
        except subprocess.TimeoutExpired:
            self.result.timed_out = True
        finally:
            self.end()
        return self.result

    def await_end(self, seconds):
        """As child.wait(), which looks every 50 ms only: a run may take less than ten of these."""
        if self.child.returncode is not None:
            return
        fd = os.pidfd_open(self.child.pid)
        try:
            if not select.select([fd], [], [], seconds)[0]:
                raise subprocess.TimeoutExpired(self.child.args, seconds)
        finally:
            os.close(fd)
        self.ended = time.monotonic()

    def end(self):
        """Kill whatever is left of it, and collect. May be called twice."""
        if self.result.status is not None:
            return
        for _ in range(100):
            left = self.pids()
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                    if pid != self.child.pid:
                        os.waitpid(pid, os.WNOHANG)
                except (ProcessLookupError, ChildProcessError):
                    pass
            if not left:
                break
            time.sleep(0.02)
        self.result.status = self.child.wait()
        self.result.wall = (self.ended or time.monotonic()) - self.start
        self.errors.seek(0)
        self.result.stderr = self.errors.read().decode(errors="replace")
        self.errors.close()


def run(argv, timeout, sample=False, **options):
    return Program(argv, **options).wait(timeout, sample)


def run_text(argv, timeout, **options):
    """As run(), with the program's stdout in the result."""
    with tempfile.TemporaryFile() as out:
        result = run(argv, timeout, stdout=out, **options)
        out.seek(0)
        result.stdout = out.read().decode(errors="replace")
    return result


def read_json(path):
    """The final record of a --json file: the whole file, or its last line with --interval."""
    text = pathlib.Path(path).read_text()
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(text.strip().splitlines()[-1])


def heaviest(record):
    """The process that used most frames."""
    return max(record["processes"], key=lambda p: p["frames"]["peak"])


def outside_peak(record):
    """The largest outside_bytes_peak of any process."""
    each = [p["outside_bytes_peak"] for p in record["processes"] if "outside_bytes_peak" in p]
    return max(each) if each else record["outside_bytes_peak"]


class Scratch:
    """A directory that is gone afterwards."""

    def __init__(self, prefix):
        # Not tmpfs: inputs are large, and RAM is what is being measured.
        self.path = pathlib.Path(tempfile.mkdtemp(prefix=f"faultline-{prefix}.", dir="/var/tmp"))
        self.path.chmod(0o777)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def missing(programs):
    return [p for p in programs if shutil.which(p) is None]


def can_become_nobody():
    return os.geteuid() == 0 and shutil.which("setpriv") is not None
