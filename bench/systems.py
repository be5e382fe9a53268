# SPDX-License-Identifier: MIT
"""The competitors of bench/compare, and one run of one of them.

Everybody gets the same total memory. Faultline's --ram is managed memory only, so its first round
runs in a cgroup with room to spare that is watched; what the kernel charged it with at its peak,
without file pages (but with its page tables, rings and everything outside --ram), plus SLACK, is
the limit of the cgroup in which kernel swap runs, and in which Faultline itself runs, without
swap, from the second round on. Should it not fit in there, the limit is raised for everybody.
"""
import math
import os
import shlex
import subprocess
import time

import harness
import kernel
from journal import start_time, whole

SLACK = 1 << 20 # charged ahead of use (64 pages for each CPU), file pages, and what differs in rounds
ENVIRONMENT = {"LC_ALL": "C", "PYTHONHASHSEED": "0"}
KERNEL_NAMES = ["swap", "zswap", "zram"]
OUT_OF_MEMORY = "out of memory"


class Plain:
    """No limit, nobody pages."""
    name = "plain"
    is_faultline = False

    def prefix(self, ram, report):
        return []


class Faultline:
    is_faultline = True

    def __init__(self, name, options, directory):
        self.name, self.options, self.directory = name, options, directory

    def prefix(self, ram, report):
        return [harness.faultline(), "run", "-q", "--json", str(report), "--ram", str(ram),
                "--swap", self.directory, *self.options, "--"]

    def why_not(self):
        """Why it does not work here, in its own words; None if it does."""
        done = subprocess.run([*self.prefix(64 << 20, "/dev/null"), "true"], capture_output=True,
                              text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
        lines = done.stderr.strip().splitlines()
        return None if done.returncode == 0 else lines[-1] if lines else f"status {done.returncode}"


class KernelSystem:
    is_faultline = False

    def __init__(self, kind):
        self.kind, self.name = kind, kind.name

    def prefix(self, ram, report):
        return []


def faultline_systems(directory, variants):
    """One per engine, with and without compression."""
    systems = []
    for engine in ("sigbus", "uffd"):
        options = ["--engine", engine]
        systems += [Faultline(engine, options, directory),
                    Faultline(f"{engine}-off", [*options, "--compress", "off"], directory)]
    for variant in variants:
        name, _, options = variant.partition("=")
        systems.append(Faultline(name, shlex.split(options), directory))
    return systems


def room(case):
    """Memory in which Faultline fits for sure, and file pages do not pile up: the kernel keeps some
    3 % of these in buffer heads and trees, which would count as what Faultline needs."""
    return case.ram + case.ram // 16 + case.footprint // 32 + (16 << 20)


def nr_paging(record):
    """(major, minor) faults of a report."""
    faults = dict(record["total"]["faults"])
    return faults.pop("major"), sum(faults.values()) - faults.get("invalid", 0)


class Runner:
    """Runs one command under one system, and counts."""

    def __init__(self, args, scratch, cgroup, deadline=math.inf):
        """@deadline: when a run is ended that has not reached its own limit, either."""
        self.args, self.scratch, self.cgroup, self.deadline = args, scratch, cgroup, deadline
        self.env = dict(os.environ, **ENVIRONMENT)
        for name in list(self.env):
            if name.startswith("FAULTLINE_"):
                del self.env[name]

    def start(self, argv, out, sample):
        with whole():
            program = harness.Program(argv, stdout=out, env=self.env)
            pid = program.child.pid
            entry = ("session", pid, start_time(pid))
            self.scratch.add(*entry)
        try:
            return program.wait(min(self.args.limit, self.deadline - time.monotonic()), sample)
        finally:
            program.end()
            self.scratch.undo(*entry)

    def execute(self, argv, sample=False):
        """Return: Result with stdout, and what all its processes used."""
        before, swapped = os.times(), kernel.swapped()
        faults = harness.child_faults()
        with open(self.scratch.path / "stdout", "w+b") as out:
            result = self.start(argv, out, sample)
            out.seek(0)
            result.stdout = out.read().decode(errors="replace")
        after = os.times()
        result.cpu_s = (after.children_user + after.children_system - before.children_user
                        - before.children_system)
        result.faults = [b - a for a, b in zip(faults, harness.child_faults())]
        result.swapped = [b - a for a, b in zip(swapped, kernel.swapped())]
        return result

    def plain(self, case, sample=False):
        result = self.execute(case.command([], True), sample)
        result.swapped = [0, 0] # the kernel's counts are the whole machine's
        return self.finish(case, result, None)

    def faultline(self, system, case, limit):
        report = self.scratch.path / "report.json"
        report.unlink(missing_ok=True)
        argv = case.command(system.prefix(case.ram, report), False)
        if self.cgroup is None:
            return self.finish(case, self.execute(argv), report)
        self.cgroup.set_limit(limit, may_swap=False)
        nr_killed = self.cgroup.nr_killed()
        watch = kernel.ChargeWatch(self.cgroup)
        watch.start()
        try:
            result = self.execute(self.cgroup.wrap(argv))
        finally:
            watch.stop()
            self.cgroup.set_limit(None)
            self.cgroup.empty()
        record = self.finish(case, result, report)
        record["charged_peak_bytes"] = watch.peak
        self.find_killed(record, result, nr_killed)
        return record

    def find_killed(self, record, result, nr_killed):
        """@nr_killed: in the cgroup before the run."""
        has_died = result.status != 0 and not result.timed_out
        if has_died and self.cgroup.nr_killed() > nr_killed:
            record["why"] = OUT_OF_MEMORY

    def kernel(self, system, case, limit):
        kind, governor = system.kind, None
        nr_killed = self.cgroup.nr_killed()
        try:
            kind.enter()
            self.cgroup.set_limit(limit)
            if kind.store is not None:
                governor = kernel.Governor(self.cgroup, limit, kind.store)
                governor.start()
            result = self.execute(self.cgroup.wrap(case.command([], False)))
        finally:
            if governor is not None:
                governor.stop()
            self.cgroup.set_limit(None)
            self.cgroup.empty()
            why = kind.leave()
        if why is not None:
            raise kernel.Unavailable(why)
        if governor is not None:
            result.cpu_s += governor.cpu_s # reclaim that the program would have done itself
        if not kind.on_disk:
            result.swapped = [0, 0]
        record = self.finish(case, result, None)
        self.find_killed(record, result, nr_killed)
        if governor is not None:
            record["pool_peak_bytes"] = governor.pool_peak
            if not kind.on_disk and not governor.has_fit():
                record["why"] = "its pool does not fit into memory"
        return record

    def finish(self, case, result, report):
        """The run as a record; `why` says what was wrong with it."""
        record = {"why": result.problem(), "timed_out": result.timed_out, "wall_s": round(result.wall, 3),
                  "cpu_s": round(result.cpu_s, 3), "major": result.faults[0],
                  "minor": result.faults[1], "read_bytes": result.swapped[0],
                  "written_bytes": result.swapped[1], "rss_peak_bytes": result.rss_peak}
        if record["why"] is None:
            try:
                record["value"], record["why"] = case.value(result)
                if report is not None:
                    json_record = harness.read_json(report)
                    record["major"], record["minor"] = nr_paging(json_record)
                    io = json_record["total"]["swap_io"]
                    record["read_bytes"], record["written_bytes"] = (
                        io["read_bytes"], io["written_bytes"])
            except (ValueError, KeyError, OSError) as error:
                record["why"] = f"unreadable result: {error!r}"
        return record
