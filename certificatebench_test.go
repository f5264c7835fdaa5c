package zmqauth

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// BenchmarkLoadCertificates loads a directory, and has Python's zmq.auth load the same one.
// "x-python" is our time divided by Python's. The start of the interpreter does not count.
func BenchmarkLoadCertificates(b *testing.B) {
	sizes := []int{10_000, 100_000}
	if testing.Short() {
		sizes = sizes[:1]
	}
	for _, size := range sizes {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			dir := b.TempDir()
			writeManyCertificates(b, dir, size)
			python := pythonLoadTime(b, dir)
			b.ReportAllocs()
			for b.Loop() {
				certs, err := LoadCertificates(dir)
				if err != nil || len(certs) != size {
					b.Fatalf("%d certificates, %v", len(certs), err)
				}
			}
			ours := b.Elapsed() / time.Duration(b.N)
			b.ReportMetric(ours.Seconds()/python.Seconds(), "x-python")
			b.ReportMetric(float64(ours.Nanoseconds())/float64(size), "ns/file")
		})
	}
}

// writeManyCertificates writes public certificates. Their keys come from no secret keys: nothing
// here needs that.
func writeManyCertificates(b testing.TB, dir string, count int) {
	b.Helper()
	for i := range count {
		cert := Certificate{
			Public:   PublicKey{byte(i), byte(i >> 8), byte(i >> 16), 1},
			Metadata: map[string]string{"name": fmt.Sprintf("client %d", i), "role": "sensor"},
		}
		text, err := cert.encode(false)
		if err != nil {
			b.Fatal(err)
		}
		path := filepath.Join(dir, fmt.Sprintf("client%06d.key", i))
		if err := os.WriteFile(path, text, publicMode); err != nil {
			b.Fatal(err)
		}
	}
}

// pythonLoadTime is the best of three loads, because the benchmark's own loads are warm, too.
func pythonLoadTime(b *testing.B, dir string) time.Duration {
	b.Helper()
	const program = `
import sys, time, zmq.auth
best = None
for _ in range(3):
    start = time.perf_counter()
    zmq.auth.load_certificates(sys.argv[1])
    took = time.perf_counter() - start
    best = took if best is None else min(best, took)
print(best)
`
	out, err := exec.Command(testpeer.Python(b, "zmq", "python3-zmq"), "-c", program, dir).Output()
	if err != nil {
		b.Fatalf("python: %v", err)
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(seconds * float64(time.Second))
}

// BenchmarkStart has a directory followed, and reads its files one after the other, in turns.
// "x-reading" is the time of the one divided by that of the other.
func BenchmarkStart(b *testing.B) {
	size := followedFiles(b)
	dir := b.TempDir()
	writePlainCertificates(b, dir, size)
	a := newAuthenticator(b, Config{})
	readAll(b, dir) // from now on the files are in the system's memory
	var reading time.Duration
	for b.Loop() {
		b.StopTimer()
		must.OK(b, a.Unconfigure("d", "CURVE"))
		begun := time.Now()
		readAll(b, dir)
		reading += time.Since(begun)
		b.StartTimer()
		must.OK(b, a.ConfigureCurve("d", dir))
	}
	b.ReportMetric(b.Elapsed().Seconds()/reading.Seconds(), "x-reading")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/file")
}

// readAll reads the files of a directory with as few system calls as it takes.
func readAll(b *testing.B, dir string) {
	b.Helper()
	entries, err := os.ReadDir(dir)
	must.OK(b, err)
	buffer := make([]byte, files.MinBuffer)
	for _, entry := range entries {
		fd, err := unix.Open(filepath.Join(dir, entry.Name()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		must.OK(b, err)
		_, err = unix.Read(fd, buffer)
		must.OK(b, err)
		must.OK(b, unix.Close(fd))
	}
}

// followedFiles is how many files tests of very many have: 20,000, or ZMQAUTH_CERTIFICATES.
func followedFiles(t testing.TB) int {
	t.Helper()
	text := os.Getenv("ZMQAUTH_CERTIFICATES")
	if text == "" {
		return 20_000
	}
	count, err := strconv.Atoi(text)
	must.OK(t, err)
	return count
}

// TestFollowedMemory: a followed certificate takes at most 250 bytes, its name among them.
func TestFollowedMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it writes very many files")
	}
	const limit = 250
	count, dir := followedFiles(t), t.TempDir()
	writePlainCertificates(t, dir, count)
	a := newAuthenticator(t, Config{})
	before := heapAlloc()
	must.OK(t, a.ConfigureCurve("d", dir))
	each := int64(heapAlloc()-before) / int64(count)
	t.Logf("%d files: %d bytes each", count, each)
	if each > limit {
		t.Errorf("%d bytes for each certificate, want at most %d", each, limit)
	}
	for _, n := range []int{0, count / 2, count - 1} {
		if status, _ := ask(t, a, curveRequest("d", numberedKey(n))); status != "200" {
			t.Errorf("key %d: %s", n, status)
		}
	}
}

// writePlainCertificates writes certificates without metadata, of numbered keys.
func writePlainCertificates(t testing.TB, dir string, count int) {
	t.Helper()
	for n := range count {
		text, err := (&Certificate{Public: numberedKey(n)}).encode(false)
		must.OK(t, err)
		path := filepath.Join(dir, fmt.Sprintf("client%06d.key", n))
		must.OK(t, os.WriteFile(path, text, publicMode))
	}
}

// heapAlloc is how much memory is in use on the heap, in bytes.
func heapAlloc() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// BenchmarkDirectoryChange measures how long it takes until a file that is added to a directory is
// in force, and then until it is out of force, once it is removed.
func BenchmarkDirectoryChange(b *testing.B) {
	for _, files := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("files=%d", files), func(b *testing.B) {
			if testing.Short() && files > 100 {
				b.Skip("-short")
			}
			dir := b.TempDir()
			writeManyCertificates(b, dir, files)
			a := newAuthenticator(b, Config{})
			must.OK(b, a.ConfigureCurve("d", dir))
			c := newCertificate(b)
			accepted := func() bool {
				status, _ := ask(b, a, zapRequest("d", "", "CURVE", string(c.Public[:])))
				return status == "200"
			}
			path := filepath.Join(dir, "the one.key")
			b.ResetTimer()
			for range b.N {
				must.OK(b, c.SavePublic(path))
				testpeer.Eventually(b, "the file is in force", accepted)
				must.OK(b, os.Remove(path))
				testpeer.Eventually(b, "the file is out of force", func() bool { return !accepted() })
			}
		})
	}
}
