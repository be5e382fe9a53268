# SPDX-License-Identifier: MIT
"""Interpreters and virtual machines with heaps of their own."""
import subprocess

from case import Case, Script

OBJECTS = """
import hashlib, random, sys
n = int(sys.argv[1])
r = random.Random(5)
tail = "".join(chr(97 + i % 26) for i in range(400))
rows = ["%016x%s" % (r.getrandbits(64), tail) for i in range(n)]
index = {row[:8]: i for i, row in enumerate(rows)}
rows.sort()
total = sum(int(row[:16], 16) for row in rows)
numbers = sorted(i * 7919 % 1000003 for i in range(n // 2))
digest = hashlib.sha256()
for row in rows:
    digest.update(row.encode())
print(len(index), total, sum(numbers), digest.hexdigest())
for row in rows[::97]:
    print(row[:24], index[row[:8]])
"""


class Python(Case):
    """Thousands of string objects of some 450 bytes."""
    name = "python3"
    needs = ["/usr/bin/python3"]
    sizes = (12, 400)

    def prepare(self):
        (self.scratch / "objects.py").write_text(OBJECTS)

    def argv(self, cell):
        return ["/usr/bin/python3", str(self.scratch / "objects.py"), str(self.size * 1000)]


class PythonShim(Python):
    """The same behind a shell script, as version managers put one in front of python3."""
    name = "python3-shim"
    short = False

    def prepare(self):
        super().prepare()
        shim = self.scratch / "shim"
        shim.mkdir(exist_ok=True)
        (shim / "python3").write_text('#!/bin/sh\nexec /usr/bin/python3 "$@"\n')
        (shim / "python3").chmod(0o755)

    def argv(self, cell):
        return [str(self.scratch / "shim" / "python3"), *super().argv(cell)[1:]]


class PythonMultiprocessing(Script):
    """A pool of forked workers that read the parent's objects, and of spawned ones; queues and
    locks between them."""
    name = "python3-multiproc"
    needs = ["/usr/bin/python3"]
    sizes = (30, 200)
    interpreter = ["/usr/bin/python3"]
    script = """
import hashlib, multiprocessing, sys

def piece(bounds):
    digest = hashlib.sha256()
    for i in range(*bounds):
        digest.update(ROWS[i].encode())
    own = [row * 2 for row in ROWS[bounds[0]:bounds[1]:3]]
    return bounds[0], digest.hexdigest(), sum(map(len, own))

def square(numbers):
    return sum(i * i for i in numbers)

def put(queue, lock, total, start, count):
    rows = ["%d:%s" % (i, "y" * (i % 300)) for i in range(start, start + count)]
    with lock:
        total.value += sum(map(len, rows))
    queue.put((start, hashlib.md5("".join(rows).encode()).hexdigest(), rows[-1]))

if __name__ == "__main__":
    n = int(sys.argv[1]) * 1000
    ROWS = ["%016x%s" % (i * 2654435761 % 2**32, "r" * (i % 500)) for i in range(n)]
    step = n // 12
    with multiprocessing.get_context("fork").Pool(3) as pool:
        for result in pool.map(piece, [(i, i + step) for i in range(0, n - step + 1, step)], 1):
            print(*result)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        print(pool.map(square, [list(range(k, n // 4, 5)) for k in range(5)]))
    fork = multiprocessing.get_context("fork")
    queue, lock, total = fork.Queue(), fork.Lock(), fork.Value("q", 0)
    workers = [fork.Process(target=put, args=(queue, lock, total, k * 5000, 5000)) for k in range(4)]
    for w in workers: w.start()
    print(sorted(queue.get() for w in workers))
    for w in workers: w.join()
    print(total.value, [w.exitcode for w in workers], hashlib.md5("".join(ROWS).encode()).hexdigest())
"""


class PythonSubprocess(Script):
    """Children started every way that subprocess and os know, with large arguments and pipes."""
    name = "python3-subprocess"
    needs = ["/usr/bin/python3"]
    sizes = (20, 150)
    interpreter = ["/usr/bin/python3"]
    script = """
import hashlib, os, subprocess, sys
n = int(sys.argv[1]) * 1000
rows = ["%016x%s" % (i * 2654435761 % 2**32, "s" * (i % 500)) for i in range(n)]
text = "\\n".join(rows).encode()
run = lambda *a, **k: subprocess.run(*a, stdout=subprocess.PIPE, check=True, **k).stdout
print(run(["sha256sum"], input=text), run(["sort", "-r"], input=text)[:60])
print(len(run(["cat"], input=text, close_fds=False)), run(["cat"], input=text) == text)
environment = {"ROW%d" % i: rows[i] for i in range(600)}
environment["PATH"] = os.environ["PATH"]
print(hashlib.md5(b"\\n".join(sorted(l for l in run(["env"], env=environment).split(b"\\n")
                                    if l.startswith(b"ROW")))).hexdigest())
for i in range(20):
    print(run(["printf", "%s\\n"] + rows[i * 50:i * 50 + 40])[-30:],
          run("echo $((6 * %d)); exit 0" % i, shell=True, start_new_session=bool(i % 2)))
print(run(["pwd"], cwd="/", preexec_fn=lambda: os.umask(0o77), restore_signals=True))
for i in range(30):
    pid = os.fork()
    if pid == 0:
        os._exit(sum(map(ord, rows[i * 31])) % 256)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), end=" ")
pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], os.environ)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), os.system("exit 3") >> 8)
try:
    run(["/nonexistent/program"])
except FileNotFoundError as error:
    print(error)
print(os.popen("wc -c", "w").write("x" * 100), hashlib.md5("".join(rows).encode()).hexdigest())
"""


class Node(Script):
    """V8's heap, typed arrays outside it, hashing, compression and two worker threads."""
    name = "node"
    needs = ["node"]
    sizes = (30, 200)
    interpreter = ["node"]
    script = """
const { Worker, isMainThread, workerData, parentPort } = require("worker_threads");
const crypto = require("crypto"), zlib = require("zlib");
const { execFileSync } = require("child_process");

function work(n, salt) {
  const map = new Map(), hash = crypto.createHash("sha256");
  for (let i = 0; i < n * 1000; i++)
    map.set("key " + (i * 7919 % (n * 1000)), { i, salt, text: ("v" + i).repeat(8) });
  let sum = 0;
  for (const [key, value] of map) sum = (sum * 31 + value.i + key.length) % 1000003;
  const keys = [...map.keys()].sort();
  for (const key of keys) hash.update(key + map.get(key).text);
  return sum + " " + hash.digest("hex");
}

if (!isMainThread) {
  parentPort.postMessage(work(workerData.n, workerData.salt));
} else {
  const n = Number(process.argv[2]);
  console.log(work(n, 0));
  const numbers = new Float64Array(n * 20000);
  for (let i = 0; i < numbers.length; i++) numbers[i] = i * 2654435761 % 4294967296;
  numbers.sort();
  console.log(numbers[0], numbers[numbers.length >> 1], numbers[numbers.length - 1]);
  const bytes = Buffer.from(numbers.buffer).subarray(0, n * 40000);
  const packed = zlib.gzipSync(bytes);
  console.log(zlib.gunzipSync(packed).equals(bytes), crypto.createHash("md5").update(bytes).digest("hex"));
  const json = JSON.stringify(Array.from(numbers.subarray(0, n * 500), x => ({ x, s: "" + x })));
  console.log(json.length, JSON.parse(json).length);
  console.log(execFileSync("md5sum", { input: json }).toString());
  const results = [];
  for (let salt = 1; salt <= 2; salt++)
    new Worker(__filename, { workerData: { n: n >> 2, salt } }).on("message", m => {
      results[salt] = m;
      if (results[1] && results[2]) console.log(results[1], results[2], work(n >> 1, 3));
    });
}
"""

    def prepare(self):
        (self.scratch / "script").symlink_to("script.js")
        (self.scratch / "script.js").write_text(self.script)


JAVA = """
import java.util.*;

public class Alloc {
	static class Node { int[] data; int key; }

	static int deref(Node n) { return n.data[n.key & 7]; }

	static int depth(int n) { return depth(n + 1) + 1; }

	/* Live objects among garbage; null pointers met in compiled code. */
	static String collect(int size) {
		long sum = 0;
		int nulls = 0;
		HashMap<Integer, Node> live = new HashMap<>();
		for (int i = 0; i < size * 40; i++) {
			Node n = new Node();
			n.key = i;
			n.data = new int[20 + i % 40];
			for (int j = 0; j < n.data.length; j++)
				n.data[j] = i * 31 + j;
			live.put(i % (size * 10), n);
			Node old = i % 7 == 0 ? live.get(i / 7) : null;
			if (old != null)
				sum += deref(old);
			try {
				if (i % 11 == 0)
					sum += deref(i % 22 == 0 ? null : n);
			} catch (NullPointerException e) {
				nulls++;
			}
			if (i % (size * 20) == 0)
				System.gc();
		}
		for (Map.Entry<Integer, Node> e : new TreeMap<>(live).entrySet())
			for (int v : e.getValue().data)
				sum = sum * 31 + v;
		return sum + " " + nulls;
	}

	static int overflows() {
		int over = 0;
		for (int i = 0; i < 3; i++)
			try {
				depth(0);
			} catch (StackOverflowError e) {
				over++;
			}
		return over;
	}

	static long[] threads(int size) throws Exception {
		Thread[] threads = new Thread[4];
		long[] sums = new long[4];
		for (int t = 0; t < 4; t++) {
			final int id = t;
			threads[t] = new Thread(() -> {
				ArrayList<byte[]> list = new ArrayList<>();
				for (int i = 0; i < size; i++) {
					byte[] b = new byte[200];
					b[i % 200] = (byte) (i + id);
					list.add(b);
				}
				for (int i = 0; i < size; i++)
					sums[id] += list.get(i)[i % 200];
			});
			threads[t].start();
		}
		for (Thread t : threads)
			t.join();
		return sums;
	}

	public static void main(String[] args) throws Exception {
		int size = Integer.parseInt(args[0]) * 1000;
		System.out.println(collect(size) + " " + overflows() + " " + Arrays.toString(threads(size)));
	}
}
"""


class Java(Case):
    """A program that allocates from five threads, collects, catches null pointers and stack
    overflows: the JVM learns of both from SIGSEGV."""
    name = "java"
    needs = ["java", "javac"]
    sizes = (10, 40)
    # Generated code, the compiler threads' own stacks, and the pages of libjvm's that the dynamic
    # loader relocates: some 17 MiB, of which generated code grows with what is run.
    outside = "generated code, thread stacks and relocated library pages are no heap"
    options = ["-Xmx{heap}m", "-XX:+UseG1GC"]

    def prepare(self):
        (self.scratch / "Alloc.java").write_text(JAVA)
        subprocess.run(["javac", "Alloc.java"], cwd=self.scratch, check=True, timeout=120)

    def argv(self, cell):
        options = [o.format(heap=64 + 7 * self.size) for o in self.options]
        return ["java", *options, "-cp", str(self.scratch), "Alloc", str(self.size)]


class JavaSerial(Java):
    """The same under the serial collector."""
    name = "java-serial"
    short = False
    options = ["-Xmx{heap}m", "-XX:+UseSerialGC"]


CASES = [Python, PythonShim, PythonMultiprocessing, PythonSubprocess, Node, Java, JavaSerial]
