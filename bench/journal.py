# SPDX-License-Identifier: MIT
"""What a bench has set up, written down before it is done, and undone whatever happens.

Scratch is the bench's directory in /var/tmp; its file `journal` names the owner and everything that
lies outside it (cgroups, swap, parameters of the kernel, sessions of programs). close() undoes all
that. After a kill -9 nobody does, so the next bench of the same user calls clean_leftovers() first.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

import harness

PREFIX = "faultline-bench."
PLACE = pathlib.Path("/var/tmp")
ZRAM_CONTROL = pathlib.Path("/sys/class/zram-control")


def start_time(pid):
    """When @pid was started, in clock ticks since boot, or None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            return int(f.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError):
        return None


def boot_id():
    return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def sbin(argv):
    """Run an administrator's command. Return: None, or why it failed."""
    env = dict(os.environ, PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin", LC_ALL="C")
    try:
        # A session of its own: Ctrl-C must not end a half-done mkswap or swapoff.
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=300,
                              check=False, start_new_session=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{argv[0]}: {error}"
    return f"{argv[0]}: {done.stderr.strip()[:200]}" if done.returncode != 0 else None


@contextlib.contextmanager
def whole():
    """No signal comes between what is done here and the note of it; after both it does."""
    late = []
    old = {number: signal.signal(number, lambda n, frame: late.append(n))
           for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
        for number in late:
            signal.raise_signal(number)


def is_swap(path):
    lines = pathlib.Path("/proc/swaps").read_text().splitlines()[1:]
    return any(line.split()[0] == str(path) for line in lines if line)


def kill_all(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


# One function for each kind of entry. Each may find its work done already. Return: why not, or None.

def undo_session(sid, ticks):
    # While any process is in it, no other process gets the session's number.
    if start_time(sid) in (None, ticks):
        kill_all(harness.session_pids(sid))


def undo_cgroup(path):
    path = pathlib.Path(path)
    for _ in range(100):
        if not path.exists():
            return None
        with contextlib.suppress(OSError):
            kill_all(int(pid) for pid in (path / "cgroup.procs").read_text().split())
        with contextlib.suppress(OSError):
            path.rmdir()
            return None
        time.sleep(0.1)
    return f"rmdir {path} by hand"


def undo_swapon(path):
    why = None
    for _ in range(50): # one that was interrupted may be under way
        if not is_swap(path):
            return None
        why = sbin(["swapoff", path])
        if why is None:
            return None
        time.sleep(0.1)
    return why


def undo_file(path):
    if is_swap(path):
        return f"swapoff and rm {path} by hand"
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        pathlib.Path(path).unlink()
    return None


def undo_write(path, old):
    try:
        pathlib.Path(path).write_text(old)
    except OSError as error:
        return f"{path} should be {old}: {error}"
    return None


def undo_zram(number):
    if not pathlib.Path(f"/sys/block/zram{number}").exists():
        return None
    for _ in range(50):
        try:
            pathlib.Path(f"/sys/block/zram{number}/reset").write_text("1")
            (ZRAM_CONTROL / "hot_remove").write_text(str(number))
            return None
        except OSError as error:
            why = error
        time.sleep(0.1)
    return f"zram{number}: {why}"


def undo_module(name):
    return sbin(["modprobe", "-r", name])


UNDO = {"session": undo_session, "cgroup": undo_cgroup, "swapon": undo_swapon, "file": undo_file,
        "write": undo_write, "zram": undo_zram, "module": undo_module}
LASTS = {"file"} # what outlives a reboot


def undo_one(kind, *values):
    """Return: None, or why not, whatever went wrong: the others are undone all the same."""
    try:
        return UNDO[kind](*values)
    except OSError as error:
        return f"{kind} {values[0]}: {error}"


class Scratch:
    """The directory and its journal, for as long as the bench runs."""

    def __init__(self):
        self.entries = []
        with whole():
            self.path = pathlib.Path(tempfile.mkdtemp(prefix=PREFIX, dir=PLACE))
            # Others may read, so that a program may run as somebody else, but not write here.
            self.path.chmod(0o755)
            self.save()

    def save(self):
        new = self.path / "journal.new"
        new.write_text(json.dumps({"pid": os.getpid(), "start": start_time(os.getpid()),
                                   "boot": boot_id(), "entries": self.entries}))
        new.rename(self.path / "journal")

    def add(self, kind, *values):
        """To be called before the thing is done."""
        self.entries.append([kind, *values])
        self.save()

    def undo(self, kind, *values):
        """Return: None, or why it could not be undone (then close() tries again)."""
        entry = [kind, *values]
        why = undo_one(kind, *values)
        if why is None and entry in self.entries:
            self.entries.remove(entry)
            self.save()
        return why

    def close(self):
        """Undo what is left, the last first; a second Ctrl-C does not interrupt that."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        problems = undo_entries(self.entries)
        for why in problems:
            print(f"bench: {why}", file=sys.stderr)
        if not problems:
            shutil.rmtree(self.path, ignore_errors=True)


def undo_entries(entries):
    """Processes first: nothing can be taken away under them."""
    order = {"session": 0, "cgroup": 1}
    problems = []
    for kind, *values in sorted(reversed(entries), key=lambda entry: order.get(entry[0], 2)):
        why = undo_one(kind, *values)
        if why is not None:
            problems.append(why)
    return problems


def read_journal(path):
    """The journal of another bench of this user, or None. Root must believe nobody else's."""
    try:
        for part in (path, path / "journal"):
            info = part.lstat()
            if info.st_uid != os.geteuid() or stat.S_ISLNK(info.st_mode) or info.st_mode & 0o022:
                return None
        return json.loads((path / "journal").read_text())
    except (OSError, ValueError):
        return None


def clean_leftovers():
    """Undo what killed benches left. Return: the pid of one that runs now, or None."""
    running = None
    for path in PLACE.glob(PREFIX + "*"):
        record = read_journal(path)
        if record is None:
            continue
        same_boot = record["boot"] == boot_id()
        if same_boot and start_time(record["pid"]) == record["start"]:
            if record["pid"] != os.getpid():
                running = record["pid"]
            continue
        entries = [e for e in record["entries"] if same_boot or e[0] in LASTS]
        print(f"bench: a killed run (pid {record['pid']}) left {path}"
              + "".join(f", {e[0]} {e[1]}" for e in entries) + ": cleaning up", file=sys.stderr)
        problems = undo_entries(entries)
        for why in problems:
            print(f"bench: {why}", file=sys.stderr)
        if not problems:
            shutil.rmtree(path, ignore_errors=True)
    return running
