# SPDX-License-Identifier: MIT
"""Medians, ratios, the table and the progress line of bench/compare."""
import math
import shutil
import statistics
import sys
import time


def speeds(case, records):
    """Of each round that went well: round -> what is better when larger."""
    values = {n: r["value"] for n, r in records.items() if r["why"] is None and r["value"]}
    return values if case.higher_is_better else {n: 1 / v for n, v in values.items()}


def ratio(case, records, base_records):
    """Faster than the base by: (median, least, largest) over the rounds that both have, or None."""
    ours, theirs = speeds(case, records), speeds(case, base_records)
    pairs = [ours[n] / theirs[n] for n in ours if n in theirs]
    return (statistics.median(pairs), min(pairs), max(pairs)) if pairs else None


def nr_rounds(table):
    """That any case had."""
    return max((len(rounds) for _, records in table for rounds in records.values()), default=0)


def short(n):
    for unit in ("", "K", "M", "G"):
        if n < 10000 or unit == "G":
            return f"{n:.0f}{unit}"
        n /= 1000


def human_bytes(n):
    return f"{n / (1 << 20):,.0f}M"


def value_text(case, values):
    middle = statistics.median(values)
    half = (max(values) - min(values)) / 2 / middle
    text = f"{middle:,.0f}" if case.higher_is_better else f"{middle:.2f}"
    return f"{text}{case.unit} ±{half:.0%}"


def times(x):
    """Two decimals, and two digits of what is less than a tenth."""
    return f"{x:.2f}" if x >= 0.1 else f"{x:.2g}"


def ratio_text(found):
    if found is None:
        return "-"
    middle, low, high = found
    return times(middle) + "x" + (f" ({times(low)}-{times(high)})" if low != high else "")


def nr_tries(rounds):
    """(killed, all) tries of a kernel system."""
    return [sum(r.get(key, 0) for r in rounds.values()) for key in ("killed", "tries")]


def base_name(names):
    return "swap" if "swap" in names else "plain" if "plain" in names else names[0]


def print_case(case, records, names, nr_all):
    base, nr_had = base_name(names), nr_rounds([(case, records)])
    if nr_had == 0:
        return # a note says why
    limit = next((r["limit_bytes"] for rs in records.values() for r in rs.values()
                  if r.get("limit_bytes")), None)
    print(f"\n{case.title()}" + (f", {limit / (1 << 20):.0f} MiB in all" if limit else "")
          + (f", {nr_had} of {nr_all} rounds" if nr_had < nr_all else ""))
    for name in names:
        rounds = records.get(name)
        if not rounds:
            continue
        good = [r for r in rounds.values() if r["why"] is None]
        killed, tries = nr_tries(rounds)
        if not good:
            print(f"  {name:14} {next(iter(rounds.values()))['why']}"
                  + (f" ({tries} tries)" if killed else ""))
            continue
        median = {key: statistics.median(r[key] for r in good)
                  for key in ("major", "minor", "read_bytes", "written_bytes", "cpu_s")}
        compared = "" if name == base else ratio_text(ratio(case, rounds, records.get(base, {})))
        print(f"  {name:14} {value_text(case, [r['value'] for r in good]):>18} {compared:>19}"
              f"{short(median['major']):>8}{short(median['minor']):>8}"
              f"{human_bytes(median['read_bytes']):>9}{human_bytes(median['written_bytes']):>9}"
              f"{median['cpu_s']:>8.2f}"
              + (f"  {len(rounds) - len(good)} failed" if len(good) < len(rounds) else "")
              + (f"  (killed {killed} of {tries} tries)" if killed else ""))


def print_all(table, names, notes):
    """@table: [(case, {system: {round: record}})]."""
    base = base_name(names)
    print(f"\n{'':16} {'median, ± spread/2':>18} {'faster than ' + base:>19}{'major':>8}{'minor':>8}"
          f"{'read':>9}{'written':>9}{'CPU s':>8}")
    for case, records in table:
        print_case(case, records, names, nr_rounds(table))
    others = [n for n in names if n != base]
    if others:
        print(f"\ngeometric mean of the median ratios to {base}:")
    for kind, match in (("touch", lambda c: c.higher_is_better),
                        ("real", lambda c: not c.higher_is_better and c.part != "fits")):
        for name in others:
            found = [ratio(c, r.get(name, {}), r.get(base, {})) for c, r in table if match(c)]
            logs = [math.log(f[0]) for f in found if f is not None]
            if logs:
                print(f"  {kind:6} {name:14} {times(math.exp(sum(logs) / len(logs)))}x "
                      f"of {len(logs)}")
    for note in notes:
        print(note)


class Progress:
    """A line on stderr that is rewritten; only on a terminal."""

    def __init__(self, end):
        self.start, self.end = time.monotonic(), end
        self.took = {} # key of a run -> seconds
        self.is_shown = sys.stderr.isatty()

    def expected(self, keys):
        """Seconds that runs with these keys will take, by what such runs took so far."""
        usual = statistics.mean(self.took.values()) if self.took else 5
        return sum(self.took.get(key, usual) for key in keys)

    def done(self, key, seconds):
        self.took[key] = seconds

    def show(self, what, left=None):
        """@left: seconds, if that is known."""
        if not self.is_shown:
            return
        now, bar = time.monotonic(), ""
        if left is not None:
            left = max(min(left, self.end - now), 0)
            part = (now - self.start) / (now - self.start + left + 1)
            bar = f"[{'#' * int(20 * part):20}] {part:4.0%}  "
            bar += f"{int(left) // 60}:{int(left) % 60:02} left  "
        width = shutil.get_terminal_size().columns
        sys.stderr.write("\r" + (bar + what)[:width - 1] + "\x1b[K")
        sys.stderr.flush()

    def clear(self):
        if self.is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
