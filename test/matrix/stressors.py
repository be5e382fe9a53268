# SPDX-License-Identifier: MIT
"""stress-ng's own memory stressors that can verify. What they do depends on time, not on their
input: each must end well and complain of nothing, as it does plain."""
from case import Case


class Stressor(Case):
    needs = ["stress-ng"]
    sizes = (3, 30)
    own_check = True
    stressor = ""
    options = []

    def argv(self, cell):
        return ["stress-ng", "--temp-path", str(cell.place), f"--{self.stressor}", "2",
                *self.options, "--verify", "--timeout", f"{self.size}s"]

    def complaint(self, result):
        # Its status alone is 0 also when it did nothing at all.
        for word in ["fail:", "skipped:", "not implemented", "SIGSEGV"]:
            for line in result.stderr.splitlines():
                if word in line and not line.rstrip().endswith("skipped: 0"):
                    return f"complains: {line}"
        return None


def stressor(name, *options, short=False, unpaged=None, outside=None):
    """A Stressor class for stress-ng's @name."""
    return type("Stress_" + name, (Stressor,), {
        "__doc__": f"stress-ng --{name} --verify", "name": f"stress-ng-{name}", "stressor": name,
        "options": options, "short": short, "unpaged": unpaged, "outside": outside})


CASES = [
    stressor("vm", "--vm-method", "all", "--vm-bytes", "48M", short=True),
    stressor("malloc", "--malloc-bytes", "256M",
             outside="it touches single pages all over hundreds of GiB: that much page table"),
    stressor("mmap", "--mmap-bytes", "64M", outside="some of its mappings are MAP_STACK or hold code"),
    stressor("mremap", "--mremap-bytes", "64M",
             outside="it moves its memory to where small mappings lie, which are outside"),
    stressor("madvise", unpaged="maps files, shared"),
    stressor("mincore", unpaged="maps a page at a time"),
    stressor("mlock", unpaged="an array that it hardly touches is brought in (MAP_POPULATE) only if it fits"),
    stressor("fork", unpaged="its children end at once"),
    stressor("memfd", "--memfd-bytes", "64M", unpaged="memfd memory is shared, and not paged"),
]
