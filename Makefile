# make demo     see real clients let in and kept out
# make test     all tests, with the race detector
# make lint     gofmt, vet (for other systems too), staticcheck
# make fuzz     each fuzz target, FUZZTIME long
# make soak     clients, rules, callbacks and hostile peers all at once, SOAKTIME long; then a proxy with everything on
# make cuts     CUTS connections cut, among clients that share one address
# make fleet-schedules    SCHEDULES schedules of engines and servers of a fleet that are killed and frozen
# make docker-demo, make docker-test    the images: a proxy, a fleet, and the tests in three Debian suites
# make browser  the status page in a real browser, and the picture of it in docs/
# make languages    the relays of docs/languages.md whose compilers are large: Java, Rust, Haskell
# make fleet-demo    three engines and four proxies of a fleet on this host: a key is let in, and revoked everywhere
# make deb, make deb-test    a Debian package in DEB_OUT, and what a system does with it
# make systemd-test    the package and its units in a container in which systemd has booted
# make bench    beside zmq4, czmq, pyzmq and a loop in C that answers every request with yes; stunnel4 and ssh -L
#
# Each installs what it needs where that is missing: on Debian and its kin as root or with sudo.

FUZZTIME ?= 60s
SOAKTIME ?= 5m
CUTS ?= 60000
SCHEDULES ?= 200
DEB_OUT ?= .

BROWSER_PACKAGES = $(RUN_PACKAGES) chromium
DOCKER_PACKAGES := debootstrap
RUN_PACKAGES  := gcc libc6-dev pkg-config libzmq3-dev
TEST_PACKAGES := $(RUN_PACKAGES) python3-zmq libczmq-dev apache2-utils krb5-kdc krb5-admin-server krb5-user \
                 openssh-server openssh-client openssl curl stunnel4 python3-rpyc rsyslog rsyslog-czmq \
                 python3-ipykernel python3-jupyter-client haproxy prometheus tmux systemd groff-base strace \
                 g++ cppzmq-dev ruby-ffi-rzmq php-zmq libzmq-ffi-perl iproute2
DEB_PACKAGES := $(RUN_PACKAGES) dpkg-dev git lintian debootstrap
LANGUAGE_PACKAGES := $(RUN_PACKAGES) default-jdk-headless libzmq-java cargo librust-zmq-dev \
                     ghc libghc-zeromq4-haskell-dev

# What compiles without cgo and libzmq, also on systems that the tests do not run on.
PORTABLE := ./stream ./sshtunnel ./internal/files ./internal/privatedir ./internal/reminder
SYSTEMS  := darwin freebsd windows
# Leaves: pure Go, whose tests and fuzz targets run on a machine without libzmq, too.
LEAVES   := $(addprefix ./internal/,acl admission backlog backoff certfile endpoint executor files follow keyfiles keyset \
                                    passhash passwd pause policyfile principal privatedir relay reminder table z85 zap zpl)

.PHONY: demo fleet-demo test lint fuzz soak cuts fleet-schedules browser bench languages docker-demo docker-test deb deb-test \
	systemd-test deps deps-run deps-docker deps-browser deps-languages deps-deb docker-engine

demo: deps-run
	go run ./examples/demo

fleet-demo: deps-run
	docker/fleet/demo.sh

# Before the rest a gigabyte through a tunnel, which would take minutes under the race detector, and the
# leaves without cgo.
test: deps
	CGO_ENABLED=0 go test -short $(LEAVES)
	go test -count=1 -run '^TestBigTransfer$$' ./sshtunnel
	go test -race -timeout 20m ./...

lint: deps
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt would change: $$unformatted"; exit 1; fi
	@long=$$(git ls-files '*.go' | xargs awk 'length > 100 && !/https?:/ {print FILENAME ":" FNR}'); \
		if [ -n "$$long" ]; then echo "lines of more than 100 bytes:"; echo "$$long"; exit 1; fi
	go vet ./...
	@for os in $(SYSTEMS); do \
		echo "GOOS=$$os CGO_ENABLED=0 go vet $(PORTABLE)"; \
		GOOS=$$os CGO_ENABLED=0 go vet $(PORTABLE) || exit 1; \
	done
	go tool staticcheck ./...

fuzz: deps
	.ci/fuzz.sh $(FUZZTIME)

soak: deps
	go test -race -count=1 -v -timeout 24h ./soak -soak $(SOAKTIME)
	go test -race -count=1 -v -timeout 24h -run '^TestProxyLasts$$' ./cmd/zmqauth -soak $(SOAKTIME)

cuts: deps
	ZMQAUTH_CUTS=$(CUTS) go test -count=1 -v -timeout 24h -run '^TestGuardCuts$$' .

languages: deps-languages
	go test -count=1 -timeout 30m -tags languages -run '^TestBigLanguages$$' ./docs

fleet-schedules: deps
	ZMQAUTH_FLEET_SCHEDULES=$(SCHEDULES) go test -count=1 -v -timeout 24h -run '^TestSchedules$$' ./fleet/natsstore

# Debian's chromium takes 400 MB: it is not among the packages of the other tests.
browser: deps-browser
	go vet -tags browser ./browser
	go test -count=1 -tags browser -timeout 10m ./browser -args -screenshot ../docs/status-page.png

bench: deps
	go run ./bench -out bench

docker-demo docker-test: deps-docker
	docker/$(@:docker-%=%).sh

deb: deps-deb
	packaging/deb.sh $(DEB_OUT)

deb-test: deps-deb
	packaging/deb-test.sh

systemd-test: deps-docker deps-deb
	packaging/systemd-test.sh

deps-docker: docker-engine
docker-engine:
	@. docker/engine.sh

# The one place that installs: deps what the tests need, deps-run what is needed to build and run.
deps: PACKAGES := $(TEST_PACKAGES)
deps-run: PACKAGES := $(RUN_PACKAGES)
deps-docker: PACKAGES := $(DOCKER_PACKAGES)
deps-browser: PACKAGES := $(BROWSER_PACKAGES)
deps-languages: PACKAGES := $(LANGUAGE_PACKAGES)
deps-deb: PACKAGES := $(DEB_PACKAGES)
deps deps-run deps-docker deps-browser deps-languages deps-deb:
	@command -v go >/dev/null || { echo "Go 1.26 or later is needed: https://go.dev/dl/" >&2; exit 1; }
	@if command -v dpkg-query >/dev/null; then \
		missing=; \
		for package in $(PACKAGES); do \
			dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; \
		done; \
		if [ -n "$$missing" ]; then \
			echo "installing:$$missing"; \
			sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
			$$sudo apt-get update -q || exit 1; \
			known=; \
			for package in $$missing; do \
				LC_ALL=C apt-cache policy $$package | grep -q 'Candidate: [^(]' && known="$$known $$package" \
					|| echo "this release of the system has no $$package" >&2; \
			done; \
			$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$known; \
		fi; \
	elif ! pkg-config --exists libzmq; then \
		echo "gcc, pkg-config and the headers of libzmq 4.3 are needed; install them as your system does" >&2; exit 1; \
	fi
