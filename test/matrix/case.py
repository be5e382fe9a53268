# SPDX-License-Identifier: MIT
"""What a program of the matrix is: its input, how it is run, and how its result is judged."""
import os
import random
import subprocess

import harness

WORDS = [f"{a}{b}" for a in ["ga", "lo", "mi", "ter", "sun", "ka", "vor", "ne"]
         for b in ["pel", "dra", "mont", "lis", "quo", "ber", "zan", "tu", "ri", "sho"]]


class Cell:
    """One run of a case: what to put before its command (nothing: plain), as which user, where."""

    def __init__(self, wrap, as_user, place, timeout, sample=False):
        self.wrap = wrap
        self.as_user = as_user
        self.place = place          # its working directory, and its user's own
        self.out = place / "out"    # its result, to be compared with the plain run's
        self.timeout = timeout
        self.sample = sample


class Case:
    """A program. Inputs are generated from fixed seeds, and the result, a file, depends on the
    input only. The sizes, (short, full), are such that a run in a quarter of the memory thrashes
    but ends."""
    name = ""
    needs = []
    sizes = (1, 1)
    short = True            # part of the short matrix, too
    only_user = None        # why it cannot run as root
    own_check = False       # it verifies itself, by its exit status; its output is no constant
    unpaged = None          # why a quarter of its frames means nothing: judged by its result alone
    outside = None          # why more than usual stays outside

    def __init__(self, scratch, size):
        self.scratch = scratch
        self.size = size
        self.random = random.Random(self.name)

    def prepare(self):
        """Make the input, in self.scratch; it is only read from then on."""

    @staticmethod
    def lost():
        """What it needs, is not in the PATH, and is not there: a list of names."""
        return []

    def complaint(self, result):
        """What is wrong with a run that ended well; None when nothing is."""
        return None

    def argv(self, cell):
        """The command. It writes its result to stdout, which is cell.out, or there itself."""
        raise NotImplementedError

    def stdin(self):
        return subprocess.DEVNULL

    def env(self):
        return dict(os.environ, LC_ALL="C", TZ="UTC", PYTHONHASHSEED="0", IN=str(self.scratch),
                    SIZE=str(self.size))

    def command(self, cell):
        return [*cell.as_user, *cell.wrap, *self.argv(cell)]

    def run(self, cell):
        """Return: the harness.Result."""
        env = dict(self.env(), HOME=str(cell.place), TMPDIR=str(cell.place), OUT=str(cell.out))
        with open(cell.out, "wb") as f:
            return harness.run(self.command(cell), cell.timeout, cell.sample, stdout=f,
                               stdin=self.stdin(), env=env, cwd=cell.place)

    def words(self, count):
        return " ".join(self.random.choices(WORDS, k=count))

    def text(self, path, size):
        """@size bytes of text at least, in lines."""
        with open(path, "w", encoding="ascii") as f:
            while f.tell() < size:
                f.write("".join(f"{self.random.randrange(100000)} {self.words(60)}\n"
                                for _ in range(50)))


class Script(Case):
    """A script: the whole of it is paged, interpreter and all that it starts. It finds its
    generated input in $IN, its size in $SIZE, and a place to write in its working directory."""
    interpreter = ["/bin/bash", "-eu", "-o", "pipefail"]
    script = ""

    def prepare(self):
        (self.scratch / "script").write_text(self.script)

    def argv(self, cell):
        return [*self.interpreter, str(self.scratch / "script"), str(self.size)]
