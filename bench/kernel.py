# SPDX-License-Identifier: MIT
"""The kernel's side of a comparison: memory cgroups (version 1 or 2), a swap file, zswap, zram.

Everything made here goes through the journal. Swap is on only while a run needs it, so that each
run starts with empty swap.
"""
import os
import pathlib
import resource
import signal
import threading
import time

import harness
from journal import ZRAM_CONTROL, sbin, whole

ZSWAP = pathlib.Path("/sys/module/zswap/parameters")
# Above any swap the machine already has: all of it must go to this one.
PRIORITY = "32767"


class Unavailable(Exception):
    pass


class Cgroup:
    """A memory cgroup of this process's own. Limits and counters are bytes."""

    def __init__(self, scratch, root="/sys/fs/cgroup"):
        root = pathlib.Path(root)
        name = f"faultline-bench-{os.getpid()}"
        self.is_v1 = (root / "memory/memory.limit_in_bytes").exists()
        self.scratch = scratch
        try:
            if self.is_v1:
                self.path = root / "memory" / name
            elif "memory" in (root / "cgroup.controllers").read_text().split():
                self.pass_on(root / "cgroup.subtree_control")
                self.path = root / name
            else:
                raise Unavailable("no memory cgroup controller")
            scratch.add("cgroup", str(self.path))
            self.path.mkdir()
        except OSError as error:
            raise Unavailable(f"cannot make a memory cgroup: {error}") from error

    def pass_on(self, control):
        """Version 2: a group has the controllers that the one above it passes on."""
        if "memory" not in control.read_text().split():
            self.scratch.add("write", str(control), "-memory")
            control.write_text("+memory")

    def write(self, name, value):
        (self.path / name).write_text(str(value))

    def read(self, name):
        return (self.path / name).read_text()

    def has(self, name):
        return (self.path / name).exists()

    def set_limit(self, limit, may_swap=True):
        """None: no limit. Without @may_swap what is over the limit ends the program instead."""
        if self.is_v1:
            both = self.has("memory.memsw.limit_in_bytes")
            if both:
                self.write("memory.memsw.limit_in_bytes", -1)
            self.write("memory.limit_in_bytes", -1 if limit is None else limit)
            if not may_swap and limit is not None and both:
                self.write("memory.memsw.limit_in_bytes", limit)
            self.write("memory.swappiness", 60 if may_swap else 0)
        else:
            self.write("memory.max", "max" if limit is None else limit)
            if self.has("memory.swap.max"):
                self.write("memory.swap.max", "max" if may_swap else 0)
            if self.charges_zswap():
                self.write("memory.zswap.max", "max" if limit is None else limit // Zswap.SHARE)

    def charges_zswap(self):
        """Version 2, from Linux 5.19 on: zswap's pool is part of the cgroup's memory."""
        return self.has("memory.zswap.max")

    def signal(self, number):
        for pid in self.read("cgroup.procs").split():
            try:
                os.kill(int(pid), number)
            except ProcessLookupError:
                pass

    def lower(self, limit):
        """Set the limit while the program runs. Return: done; what cannot be had now is tried again.
        Version 1 reclaims before it sets, for ever beside a program that takes all that it frees: the
        program stands still meanwhile. It would have had to reclaim as much itself."""
        try:
            if not self.is_v1:
                self.write("memory.max", limit)
                return True
            self.signal(signal.SIGSTOP)
            try:
                self.write("memory.limit_in_bytes", limit)
            finally:
                self.signal(signal.SIGCONT)
        except OSError:
            return False
        return True

    def stat(self):
        return {key: int(value) for key, value in
                (line.split() for line in self.read("memory.stat").splitlines())}

    def charged(self):
        """Memory that cannot be dropped: anonymous and the kernel's own (page tables, rings)."""
        stat = self.stat()
        if self.is_v1:
            return stat["total_rss"] + int(self.read("memory.kmem.usage_in_bytes"))
        return stat["anon"] + stat.get("kernel", stat.get("slab", 0))

    def nr_killed(self):
        """Processes that were ended for want of memory in it."""
        lines = self.read("memory.oom_control" if self.is_v1 else "memory.events").splitlines()
        return int(dict(line.split() for line in lines)["oom_kill"])

    def empty(self):
        """Drop the file pages that the last program left charged."""
        try:
            if self.is_v1:
                self.write("memory.force_empty", 0)
            else: # memory.reclaim is not in every kernel
                self.write("memory.high", 0)
                self.write("memory.high", "max")
        except OSError:
            pass

    def wrap(self, argv):
        return ["/bin/sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(self.path), *argv]


class Ticker(threading.Thread):
    """Calls tick() every @seconds until stop()."""

    def __init__(self, seconds):
        super().__init__(daemon=True)
        self.seconds = seconds
        self.is_over = threading.Event()
        self.cpu_s = 0.0

    def run(self):
        while not self.is_over.wait(self.seconds):
            try:
                self.tick()
            except (OSError, KeyError, ValueError):
                pass # read while something came or went: the next tick sees it
        used = resource.getrusage(resource.RUSAGE_THREAD)
        self.cpu_s = used.ru_utime + used.ru_stime

    def stop(self):
        self.is_over.set()
        self.join()


class ChargeWatch(Ticker):
    """The largest Cgroup.charged() of a run."""

    def __init__(self, cgroup):
        super().__init__(0.02)
        self.cgroup = cgroup
        self.peak = 0

    def tick(self):
        self.peak = max(self.peak, self.cgroup.charged())


class Governor(Ticker):
    """Keeps cgroup and compressed pool together within @total where the pool is charged to nobody:
    zram's always, zswap's under version 1. What it grows by, the cgroup's limit is lowered by."""

    def __init__(self, cgroup, total, store):
        super().__init__(0.01)
        self.cgroup, self.total, self.store = cgroup, total, store
        self.limit = total
        self.pool_peak = 0

    def has_fit(self):
        """The cgroup keeps a 16th of the total."""
        return self.pool_peak <= self.total - self.total // 16

    def tick(self):
        pool = self.store.pool_bytes()
        self.pool_peak = max(self.pool_peak, pool)
        self.store.bound(pool, self)
        limit = max(self.total - pool, self.total // 16)
        if abs(limit - self.limit) >= 1 << 20 and self.cgroup.lower(limit):
            self.limit = limit


class SwapFile:
    """Made once, as large as the largest run needs; written, not fallocated: swapon refuses holes."""

    def __init__(self, scratch, directory, nr_bytes):
        self.scratch = scratch
        self.path = pathlib.Path(directory) / f"faultline-bench-{os.getpid()}.swap"
        free = os.statvfs(directory)
        if free.f_bavail * free.f_frsize < nr_bytes + (64 << 20):
            raise Unavailable(f"no room for {nr_bytes >> 20} MiB of swap in {directory}")
        try:
            scratch.add("file", str(self.path))
            with open(self.path, "xb") as f:
                os.fchmod(f.fileno(), 0o600)
                zeros = bytes(1 << 20)
                for _ in range(0, nr_bytes, len(zeros)):
                    f.write(zeros)
                f.flush()
                os.fsync(f.fileno())
        except OSError as error:
            raise Unavailable(f"no swap file in {directory}: {error}") from error
        why = sbin(["mkswap", str(self.path)])
        if why is None:
            # A trial: some file systems and containers refuse.
            self.on()
            why = self.off()
        if why is not None:
            raise Unavailable(why)

    def on(self):
        self.scratch.add("swapon", str(self.path))
        why = sbin(["swapon", "-p", PRIORITY, str(self.path)])
        if why is not None:
            raise Unavailable(why)

    def off(self):
        return self.scratch.undo("swapon", str(self.path))


def set_parameter(scratch, path, value):
    """Into a file of /sys; its value of before comes back at the end."""
    old = path.read_text().strip()
    if not any(entry[:2] == ["write", str(path)] for entry in scratch.entries):
        scratch.add("write", str(path), old)
    if old != value:
        path.write_text(value)


class Swap:
    """Kernel swap to the file, nothing compressed."""
    name = "swap"
    on_disk = True
    store = None

    def __init__(self, kernel):
        self.kernel = kernel

    def enter(self):
        if ZSWAP.exists():
            set_parameter(self.kernel.scratch, ZSWAP / "enabled", "N")
        self.kernel.file.on()

    def leave(self):
        return self.kernel.file.off()


class Zswap(Swap):
    """The same behind a compressed cache in memory, at most a third of the total (at 4:1 and half
    the footprint, a third is what holds everything)."""
    name = "zswap"
    SHARE = 3

    def __init__(self, kernel):
        super().__init__(kernel)
        if not (ZSWAP / "enabled").exists():
            raise Unavailable("this kernel has no zswap")
        self.compressor = None
        scratch = kernel.scratch
        for name in ("lz4", "lzo-rle", "lzo", "zstd"):
            try:
                set_parameter(scratch, ZSWAP / "compressor", name)
                self.compressor = name
                break
            except OSError:
                continue
        if self.compressor is None:
            raise Unavailable("zswap has no compressor that works")
        self.pack()
        try:
            if (ZSWAP / "shrinker_enabled").exists():
                set_parameter(scratch, ZSWAP / "shrinker_enabled", "Y")
            set_parameter(scratch, ZSWAP / "enabled", "Y")
            set_parameter(scratch, ZSWAP / "enabled", "N")
        except OSError as error:
            raise Unavailable(f"zswap cannot be switched on: {error}") from error
        if kernel.cgroup.charges_zswap():
            self.store = None # and it has a bound there
        elif self.pool_bytes() is None:
            raise Unavailable("this kernel does not say how large zswap's pool is")
        else:
            self.store = self
        self.is_enabled = False

    def pack(self):
        """Older kernels have several kinds of pool. Debian 12's default puts two pages at most into
        one, and version 2 charges their compressed bytes only."""
        if (ZSWAP / "zpool").exists():
            try:
                set_parameter(self.kernel.scratch, ZSWAP / "zpool", "zsmalloc")
            except OSError:
                pass # it is not there: with the kernel's own choice, then

    def enable(self, is_enabled):
        if self.is_enabled != is_enabled:
            (ZSWAP / "enabled").write_text("Y" if is_enabled else "N")
            self.is_enabled = is_enabled

    def enter(self):
        self.kernel.file.on()
        self.enable(True)

    def leave(self):
        self.enable(False)
        return self.kernel.file.off()

    @staticmethod
    def pool_bytes():
        for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("Zswap:"):
                return int(line.split()[1]) << 10
        return None

    def bound(self, pool, governor):
        # Its own bound is in per cent of the machine's memory: far too coarse.
        self.enable(pool < governor.total // self.SHARE)


class Zram:
    """A compressed RAM disk for swap, and nothing behind it."""
    name = "zram"
    on_disk = False

    def __init__(self, kernel, nr_bytes):
        self.kernel, self.nr_bytes = kernel, nr_bytes
        if not (ZRAM_CONTROL / "hot_add").exists():
            with whole():
                why = sbin(["modprobe", "zram"])
                if why is None:
                    kernel.scratch.add("module", "zram")
            if not (ZRAM_CONTROL / "hot_add").exists():
                raise Unavailable("this kernel has no zram" + (f" ({why})" if why else ""))
        try:
            with whole():
                self.number = int((ZRAM_CONTROL / "hot_add").read_text())
                kernel.scratch.add("zram", self.number)
        except OSError as error:
            raise Unavailable(f"cannot add a zram device: {error}") from error
        self.sys = pathlib.Path(f"/sys/block/zram{self.number}")
        self.device = f"/dev/zram{self.number}"
        self.store = self
        try:
            self.enter()
        except OSError as error:
            raise Unavailable(f"zram: {error}") from error
        why = self.leave()
        if why is not None:
            raise Unavailable(why)

    def enter(self):
        for name in ("lz4", "lzo-rle"):
            try:
                (self.sys / "comp_algorithm").write_text(name)
                break
            except OSError:
                continue
        (self.sys / "disksize").write_text(str(self.nr_bytes))
        deadline = time.monotonic() + 5
        while not os.path.exists(self.device):
            if time.monotonic() > deadline:
                raise Unavailable(f"{self.device} does not appear")
            time.sleep(0.05)
        why = sbin(["mkswap", self.device])
        if why is None:
            self.kernel.scratch.add("swapon", self.device)
            why = sbin(["swapon", "-p", PRIORITY, self.device])
        if why is not None:
            raise Unavailable(why)

    def leave(self):
        why = self.kernel.scratch.undo("swapon", self.device)
        if why is None:
            (self.sys / "reset").write_text("1")
        return why

    def pool_bytes(self):
        return int((self.sys / "mm_stat").read_text().split()[2])

    def bound(self, pool, governor):
        """It has no bound but the device's size, and nowhere else to put a page."""
        if not governor.has_fit():
            self.kernel.cgroup.signal(signal.SIGKILL)


class Kernel:
    """The cgroup, and whichever of the three kinds of swap this machine and user have."""

    def __init__(self, scratch, directory, nr_bytes, wanted):
        """@wanted: names of kinds. .kinds: what there is; .missing: name -> why not."""
        self.scratch = scratch
        self.cgroup = self.file = None
        self.kinds, self.missing = {}, {}
        try:
            if os.geteuid() != 0:
                raise Unavailable("needs root")
            self.cgroup = Cgroup(scratch)
            if {"swap", "zswap"} & set(wanted):
                self.file = SwapFile(scratch, directory, nr_bytes)
        except Unavailable as why:
            self.missing = {name: str(why) for name in wanted}
            if self.cgroup is None or "zram" not in wanted:
                return
            del self.missing["zram"]
        makers = {"swap": lambda: Swap(self), "zswap": lambda: Zswap(self),
                  "zram": lambda: Zram(self, nr_bytes)}
        for name in wanted:
            if name in self.missing:
                continue
            try:
                self.kinds[name] = makers[name]()
            except (Unavailable, OSError) as why:
                self.missing[name] = str(why)


def swapped():
    """Bytes that the kernel read from and wrote to swap so far."""
    counts = dict(line.split() for line in pathlib.Path("/proc/vmstat").read_text().splitlines())
    return [int(counts.get(key, 0)) * harness.PAGE for key in ("pswpin", "pswpout")]
