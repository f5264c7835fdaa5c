package zmqauth

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

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
