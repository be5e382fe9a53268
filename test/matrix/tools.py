# SPDX-License-Identifier: MIT
"""Compilers, version control, archivers, cryptography, rendering."""
import random
import subprocess

from case import Case, Script

FUNCTION = """
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
    sizes = (150, 4000)
    compiler = "gcc"

    def prepare(self):
        with open(self.scratch / "large.c", "w", encoding="ascii") as f:
            for i in range(self.size):
                f.write(f"int step_{i}(int a, int b, const int *p);\n")
            for i in range(self.size):
                f.write(FUNCTION.format(i=i, j=(i * 7 + 1) % self.size,
                                        x=self.random.randrange(1000),
                                        y=self.random.randrange(1000)))

    def argv(self, cell):
        return [self.compiler, "-O2", "-S", "-o", "-", str(self.scratch / "large.c")]


class Clang(Gcc):
    """The same, with LLVM."""
    name = "clang"
    needs = ["clang"]
    sizes = (40, 400)
    compiler = "clang"


class Make(Script):
    """make -j2: compilers, assemblers, linker and the program that comes out, all paged."""
    name = "make"
    needs = ["make", "gcc"]
    sizes = (4, 20)
    script = r"""
cp "$IN"/*.c "$IN/Makefile" .
make -s -j2
./program
sha256sum *.o
"""

    def prepare(self):
        super().prepare()
        names = []
        for n in range(self.size):
            names.append(f"part{n}.o")
            body = "".join(FUNCTION.format(i=i, j=i, x=self.random.randrange(1000),
                                           y=self.random.randrange(1000)) for i in range(40))
            (self.scratch / f"part{n}.c").write_text(
                body.replace("step_", f"part{n}_").replace("int part", "__attribute__((weak)) int part"))
        (self.scratch / "main.c").write_text(
            '#include <stdio.h>\n#include <stdlib.h>\n'
            'int main(void)\n{\n\tunsigned *p = malloc(40u << 20), s = 0;\n'
            '\tfor (unsigned i = 0; i < 10u << 20; i++)\n\t\tp[i] = i * 2654435761u;\n'
            '\tfor (unsigned i = 0; i < 10u << 20; i++)\n\t\ts = s * 31 + p[i];\n'
            '\tprintf("%u\\n", s);\n}\n')
        (self.scratch / "Makefile").write_text(
            f"program: main.o {' '.join(names)}\n\tgcc -o $@ $^\n%.o: %.c\n\tgcc -O2 -c -o $@ $<\n")


class Git(Script):
    """A repository with history: import, gc, clone, fsck; every object of the clone."""
    name = "git"
    needs = ["git"]
    sizes = (20, 150)
    script = r"""
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0
git init -q -b main source
git -C source fast-import --quiet <"$IN/history"
git -C source gc -q --prune=now
git clone -q --no-local source copy
git -C copy -c core.multiPackIndex=false fsck --full --strict 2>&1 | sort
git -C copy rev-parse HEAD HEAD^{tree}
git -C copy log --stat --format='%H %s' | sha256sum
git -C copy cat-file --batch-all-objects --batch | sha256sum
(cd copy && git ls-files -s && sha256sum *) | sha256sum
git -C copy diff HEAD~10 HEAD | sha256sum
git -C copy blame -s file3 | sha256sum
"""

    def prepare(self):
        super().prepare()
        files = [[self.words(12) for _ in range(400)] for _ in range(20)]
        with open(self.scratch / "history", "w", encoding="ascii") as f:
            for n in range(self.size):
                f.write("commit refs/heads/main\ncommitter A <a@b> %d +0000\ndata 8\ncommit %c\n"
                        % (1600000000 + n * 100, 65 + n % 26))
                for nr, lines in enumerate(files):
                    for _ in range(5):
                        lines[self.random.randrange(len(lines))] = self.words(12)
                    data = "\n".join(lines) + "\n"
                    f.write(f"M 100644 inline file{nr}\ndata {len(data)}\n{data}\n")


class Xz(Case):
    """Megabytes of text, in two blocks, so that both threads have work."""
    name = "xz"
    needs = ["xz"]
    sizes = (2, 8)

    def prepare(self):
        self.text(self.scratch / "text", self.size << 20)

    def argv(self, cell):
        return ["xz", "-9", "-T2", f"--block-size={self.size // 2}MiB", "-c",
                str(self.scratch / "text")]


class Zstd(Script):
    """zstd -19 --long, there and back."""
    name = "zstd"
    needs = ["zstd"]
    sizes = (1, 2)
    short = False   # its tables are met at random: three major faults for each byte of input
    script = r"""
zstd -q -19 --long=27 -T1 -c "$IN/text" >text.zst
zstd -q -d --long=27 -c text.zst | cmp - "$IN/text"
cat text.zst
"""

    def prepare(self):
        super().prepare()
        self.text(self.scratch / "text", self.size << 20)


class Tar(Script):
    """tar and gzip, there and back; then zip-like compression by many small processes."""
    name = "tar+gzip"
    needs = ["tar", "gzip"]
    sizes = (1, 40)
    unpaged = "both stream: no process has a MiB that could be paged"
    script = r"""
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$IN/tree" -cf - . |
	gzip -9n >tree.tar.gz
mkdir copy
tar -xzf tree.tar.gz -C copy --no-same-owner
diff -r "$IN/tree" copy
(cd copy && find . -type f -print0 | sort -z | xargs -0 -n 8 gzip -n)
find copy -type f | sort | xargs sha256sum
cat tree.tar.gz
"""

    def prepare(self):
        super().prepare()
        for n in range(20):
            place = self.scratch / "tree" / f"d{n % 5}"
            place.mkdir(parents=True, exist_ok=True)
            self.text(place / f"file{n}", (self.size << 20) // 20)


class Openssl(Script):
    """A message encrypted and signed in memory (CMS), there and back; ciphers and digests."""
    name = "openssl"
    needs = ["openssl"]
    sizes = (4, 64)
    script = r"""
openssl cms -sign -binary -nodetach -md sha256 -signer "$IN/cert.pem" -inkey "$IN/key.pem" \
	-in "$IN/data" -outform DER -out signed
openssl cms -verify -binary -CAfile "$IN/cert.pem" -no_check_time -inform DER -in signed -out back 2>&1
cmp back "$IN/data"
openssl cms -encrypt -binary -aes-256-cbc -in "$IN/data" -outform DER -out hidden "$IN/cert.pem"
openssl cms -decrypt -binary -inform DER -in hidden -inkey "$IN/key.pem" -out back2
cmp back2 "$IN/data"
openssl enc -aes-256-ctr -K 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff \
	-iv 000102030405060708090a0b0c0d0e0f -in "$IN/data" | openssl dgst -sha512
openssl asn1parse -inform DER -in signed | tail -n 4 | cut -c 1-60 | grep -v UTCTIME | sha256sum
"""

    def prepare(self):
        super().prepare()
        (self.scratch / "data").write_bytes(random.Random(9).randbytes(self.size << 20))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "36500",
                        "-subj", "/CN=test", "-addext", "extendedKeyUsage=emailProtection",
                        "-keyout", str(self.scratch / "key.pem"),
                        "-out", str(self.scratch / "cert.pem")],
                       check=True, timeout=60, capture_output=True)
        (self.scratch / "key.pem").chmod(0o644)


POSTSCRIPT = """%!PS
/n {size} def
0 1 n 1 sub {{
  /p exch def
  0 1 120 {{
    /i exch def
    i 7 mul 100 mod 100 div i 13 mul 100 mod 100 div p n div setrgbcolor
    newpath 300 400 moveto
    i p add 37 mul 600 mod i 53 mul 800 mod  i 91 mul 600 mod i 29 mul 800 mod
    i 17 mul 600 mod i p mul 71 mul 800 mod curveto closepath fill
  }} for
  /Courier findfont 30 scalefont setfont 0 setgray 50 50 moveto (page ) show p 10 string cvs show
  showpage
}} for
"""


class Ghostscript(Script):
    """Pages of curves in a bitmap of the whole page."""
    name = "ghostscript"
    needs = ["gs"]
    sizes = (1, 4)
    script = r"""
gs -q -dNOPAUSE -dBATCH -dSAFER -sDEVICE=ppmraw -r150 -dMaxBitmap=500000000 -sOutputFile=- "$IN/page.ps"
"""

    def prepare(self):
        super().prepare()
        (self.scratch / "page.ps").write_text(POSTSCRIPT.format(size=self.size))


class Poppler(Script):
    """A PDF rendered (pdftoppm) and read (pdftotext)."""
    name = "poppler"
    needs = ["pdftoppm", "gs"]
    sizes = (1, 3)
    script = r"""
pdftoppm -r 100 "$IN/page.pdf" | sha256sum
pdftotext -layout "$IN/page.pdf" -
"""

    def prepare(self):
        super().prepare()
        (self.scratch / "page.ps").write_text(POSTSCRIPT.format(size=self.size))
        subprocess.run(["gs", "-q", "-dNOPAUSE", "-dBATCH", "-sDEVICE=pdfwrite",
                        f"-sOutputFile={self.scratch}/page.pdf", f"{self.scratch}/page.ps"],
                       check=True, timeout=120)


CASES = [Gcc, Clang, Make, Git, Xz, Zstd, Tar, Openssl, Ghostscript, Poppler]
