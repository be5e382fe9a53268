# SPDX-License-Identifier: MIT
"""Shells, small languages and filters."""
import harness
from case import Case, Script


class Sort(Case):
    """Megabytes of text, all in memory."""
    name = "sort"
    needs = ["sort"]
    sizes = (12, 400)

    def prepare(self):
        with open(self.scratch / "lines", "w", encoding="ascii") as f:
            text = self.words(200)
            for _ in range(self.size * harness.MIB // 820):
                at = self.random.randrange(500)
                f.write(f"{self.random.getrandbits(64):016x} {text[at:at + 800]}\n")

    def argv(self, cell):
        return ["sort", "-S", f"{2 * self.size}M", "--parallel=2", str(self.scratch / "lines")]


class BashPipelines(Script):
    """Pipelines of filters, each stage a paged process; an array of the shell's own."""
    name = "bash-pipelines"
    needs = ["bash"]
    sizes = (2, 20)
    script = r"""
for ((i = 0; i < SIZE * 5000; i++)); do
	rows[i]="$((i * 7919 % 100003)) row number $i of a shell's own array"
done
printf '%s\n' "${rows[@]}" | sort -n -S 8M | uniq | tac | sed -n 1,3000p | md5sum
tr ' ' '\n' <"$IN/text" | sort -S 16M | uniq -c | sort -k1,1nr -k2 | sed -n 1,50p
cut -d ' ' -f 3-9 "$IN/text" | tee >(wc -c >count) | rev | sort -S 16M | sha256sum
while [ ! -s count ]; do sleep 0.01; done
cat count
comm -12 <(sort "$IN/text") <(sort -r "$IN/text" | sort) | wc -l
shuf --random-source="$IN/text" "$IN/text" | tac | md5sum
echo "${#rows[@]} $(echo "${rows[@]:100:10}") ${rows[SIZE * 4000]}"
"""

    def prepare(self):
        super().prepare()
        self.text(self.scratch / "text", self.size << 20)


class BashForks(Script):
    """A thousand subshells, each reading what its parent made and writing its own."""
    name = "bash-forks"
    needs = ["bash"]
    sizes = (100, 1000)
    script = r"""
for ((i = 0; i < 40000; i++)); do
	rows[i]="row number $i, to be read again by some child of this shell"
done
for ((i = 0; i < SIZE; i++)); do
	got=$(rows[i]="child $i"; echo "${rows[i]} ${rows[i * 37 % 40000]}")
	echo "$got ${rows[i]}"
done
( ( (echo "${rows[39999]}") ) )
"""


class Perl(Script):
    """Hashes, sorting, regular expressions, and a forked child that pipes back."""
    name = "perl"
    needs = ["perl"]
    sizes = (4, 40)
    interpreter = ["perl", "-w"]
    script = r"""
use strict;
my ($size, %count, @rows) = ($ARGV[0]);
my $x = 1;
for my $i (0 .. $size * 1000) {
	$x = ($x * 69069 + 1) % 4294967296;
	push @rows, sprintf("%08x-%s", $x, "abcdefghij" x ($x % 20));
	$count{substr($rows[-1], 0, 5)} .= chr(65 + $i % 26);
}
my @sorted = sort { $a cmp $b } @rows;
my $pid = open(my $child, "-|") // die "fork: $!";
if ($pid == 0) {
	print "$_\n" for grep { /7.*3.*-.*c/ } @sorted;
	exit 0;
}
my ($lines, $sum) = (0, 0);
while (<$child>) { $lines++; $sum = ($sum * 31 + unpack("%32C*", $_)) % 1000000007; }
close($child) or die "child: $?";
my $text = join(",", map { "$_=$count{$_}" } sort keys %count);
$text =~ s/([A-Z])([A-Z]+)/$2$1/g;
print length($text), " $lines $sum ", unpack("%32C*", $text), "\n";
print "$sorted[$_ * 50]\n" for 0 .. $#sorted / 50;
"""


AWK = r"""
{
	for (i = 2; i <= NF; i++) count[$i]++
	where[$2 "," NR % 97] = where[$2 "," NR % 97] " " $1
	line[NR] = $0
}
END {
	for (n = 1; n <= NR; n++) sum = (sum * 31 + length(line[n]) + substr(line[n], 1, 3)) % 1000003
	for (w in count) total += count[w]
	for (k in where) deep = (deep + length(where[k]) % 1009) % 1000003
	print NR, total, sum, deep
	for (n = NR; n > NR - 20; n--) print toupper(line[n])
}
"""


class Awk(Case):
    """Associative arrays of strings (mawk)."""
    name = "awk"
    needs = ["mawk"]
    sizes = (3000, 24000)
    program = "mawk"

    def prepare(self):
        (self.scratch / "program").write_text(AWK)
        self.text(self.scratch / "text", self.size << 10)

    def argv(self, cell):
        return [self.program, "-f", str(self.scratch / "program"), str(self.scratch / "text")]


class Gawk(Awk):
    """The same in GNU awk."""
    name = "gawk"
    needs = ["gawk"]
    program = "gawk"


class Bc(Case):
    """Arrays of large integers, and a factorial."""
    name = "bc"
    needs = ["bc"]
    sizes = (6, 30)

    def prepare(self):
        (self.scratch / "program").write_text(
            "a[0] = 3\nfor (i = 1; i < %d; i++) a[i] = (a[i-1] * 7919 + i) %% (10 ^ 800 + i)\n"
            "s = 0\nfor (i = 0; i < %d; i++) s = (s * 31 + a[i * 37 %% %d]) %% (10 ^ 60 + 7)\ns\n"
            "f = 1\nfor (i = 2; i < 800; i++) f *= i\nf\na[%d]\n"
            % (self.size * 1000, self.size * 1000, self.size * 1000, self.size * 500))

    def argv(self, cell):
        return ["bc", "-q", str(self.scratch / "program")]


class Diff(Case):
    """Two large files with scattered differences, compared in memory."""
    name = "diff"
    needs = ["diff"]
    sizes = (8, 80)

    def prepare(self):
        self.text(self.scratch / "a", self.size << 20)
        with open(self.scratch / "a", encoding="ascii") as a, \
                open(self.scratch / "b", "w", encoding="ascii") as b:
            for nr, line in enumerate(a):
                if nr % 7 != 3:
                    b.write(line)
                if nr % 11 == 5:
                    b.write(line.upper())

    def argv(self, cell):
        # diff's status for "they differ" is 1.
        return ["sh", "-c", 'diff -d "$IN/a" "$IN/b"; test $? = 1']


CASES = [Sort, BashPipelines, BashForks, Perl, Awk, Gawk, Bc, Diff]
