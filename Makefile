# distproof: build, test, check. `make help` lists the targets.

GO      ?= go
BIN     := bin/distproof
PROFILE := pcaps/bench/cpu.pgo
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
FUZZTIME ?= 20s

# The checkers are pinned here and built outside the repository, so that their
# dependencies do not become ours.
GOLANGCI_LINT_VERSION := v2.15.0
STATICCHECK_VERSION   := v0.8.2
GOVULNCHECK_VERSION   := v1.9.0
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/distproof/tools
GOLANGCI_LINT := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)/golangci-lint
GOVULNCHECK   := $(TOOLS)/govulncheck-$(GOVULNCHECK_VERSION)/govulncheck
STATICCHECK   := $(TOOLS)/staticcheck-$(STATICCHECK_VERSION)/staticcheck

export CGO_ENABLED = 0

.PHONY: help build demo test race lint vuln tools fuzz soak soak-live bench load profile man lab labtest livetest clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 11

# The compiler inlines what the profile says is called most, which saves a tenth
# of the time that packets take.
build: ## build the program: bin/distproof
	$(GO) build -pgo $(PROFILE) -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN) ./cmd/distproof

# Exit code 1 is what the demo is to show: its capture has nodes that talk in
# the clear. Any other code is a failure.
demo: build ## verify a recorded cluster of mutual TLS, one-way TLS and cleartext
	@echo "$$ distproof verify pcaps/mixed.pcap"
	@$(BIN) verify pcaps/mixed.pcap || test $$? -eq 1

# Machines that have much else to do need more than Go's ten minutes for a package.
test: ## run the tests
	$(GO) test -timeout 30m ./...

# The detector makes tests ten times slower. With -short those that repeat one
# thing on many captures take fewer; `make test` takes all.
race: ## run the tests with the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short -timeout 30m ./...

lint: $(GOLANGCI_LINT) $(STATICCHECK) ## check format, imports, comments, dead code
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted with gofmt:"; echo "$$unformatted"; exit 1; }
	$(GO) vet -tags lab ./...
	$(GO) mod tidy -diff
	$(GOLANGCI_LINT) run --build-tags lab ./...
	$(STATICCHECK) -tags lab ./...

tools: $(GOLANGCI_LINT) $(STATICCHECK) ## build the checkers that lint uses

$(GOLANGCI_LINT):
	GOBIN=$(@D) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

$(STATICCHECK):
	GOBIN=$(@D) $(GO) install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)

fuzz: ## fuzz every target for FUZZTIME (20s; needs GNU timeout)
	.ci/fuzz $(FUZZTIME)

# `go run ./pcaps/bench list` prints the sizes at SCALE=1.
SCALE ?= 0.1
bench: build ## measure against tcpdump, ndpiReader and others (needs Linux, hyperfine)
	$(GO) run ./pcaps/bench measure -scale $(SCALE) $(KINDS)

COMMAND ?= watch
load: build ## measure captures beside tcpdump, and what both lose (needs root, tcpdump, tcpreplay)
	$(GO) run ./pcaps/bench load -scale $(SCALE) -command $(COMMAND) $(KINDS)

# To be done where the work per packet has changed much.
profile: ## profile all benchmarks for the compiler: pcaps/bench/cpu.pgo
	@dir=$$(mktemp -d) && trap 'rm -r "$$dir"' EXIT && for kind in bulk lossy many mesh plain small vxlan; do \
	  $(GO) run ./pcaps/bench generate -scale 0.02 -o "$$dir/$$kind.pcap" $$kind && \
	  DISTPROOF_BENCH="$$dir/$$kind.pcap" $(GO) test -trimpath -pgo off -run '^$$' -bench '^BenchmarkAnalyze$$' -benchtime 3s \
	    -o "$$dir/test" -cpuprofile "$$dir/$$kind.prof" ./cmd/distproof || exit 1; \
	done && $(GO) tool pprof -proto "$$dir"/*.prof > $(PROFILE)

# The tests fail if the pages are not current.
man: ## write man/ anew
	UPDATE_MAN=1 $(GO) test ./cmd/distproof -count=1 -run '^TestManPages$$'

# Hours. DAMAGE is how many times each capture is changed, STRESS how many times
# as much of each flood is made, CHECKS the cases of the model of TCP.
DAMAGE ?= 1500
STRESS ?= 10
CHECKS ?= 100000
soak: ## run what tries to break it for longer: damage, floods, random delivery, fuzzing
	DISTPROOF_DAMAGE=$(DAMAGE) DISTPROOF_STRESS=$(STRESS) $(GO) test -count=1 -timeout 6h \
	  -run '^Test(CutFiles|ChangedBytes|Damaged|Random|Limits|Attackers|Loss|Delivery)' ./cmd/distproof
	$(GO) test -count=1 -timeout 6h -run '^TestModel$$' ./decode/tcp -rapid.checks=$(CHECKS)
	$(MAKE) fuzz FUZZTIME=15m

# A quarter of an hour on two processors. CONNECTIONS are packets on an interface, at
# RATE a second; the others, with a clock of their own, twenty to a second of it.
CONNECTIONS ?= 1000000
RATE ?= 1300
soak-live: ## watch a million connections come and go, with faults (needs root)
	DISTPROOF_SOAK=$(CONNECTIONS) DISTPROOF_SOAK_RATE=$(RATE) $(GO) test -tags lab -count=1 -timeout 6h -v -run '^TestSoakLive$$' ./pcaps/bench
	DISTPROOF_SOAK=36000 $(GO) test -count=1 -timeout 1h -v -run '^TestSoak$$' ./watch

# The list of vulnerabilities is on the network. Where that is missing, nothing is
# known: it is said, and is no failure.
vuln: ## look for known vulnerabilities in what the program uses
	@test -x $(GOVULNCHECK) || GOBIN=$(dir $(GOVULNCHECK)) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION) || true
	@status=0; $(GOVULNCHECK) ./... || status=$$?; \
	if [ $$status -eq 3 ]; then exit 3; fi; \
	if [ $$status -ne 0 ]; then echo "govulncheck could not run: vulnerabilities are not known"; fi

lab: ## record pcaps/ anew: real nodes in network namespaces (needs root, Erlang, tcpdump)
	$(GO) run ./pcaps/lab

# With a tag of its own, because `make test` runs where there is only Go. Nodes mostly
# wait, hence more tests at once than there are processors.
labtest: ## test on real nodes, and with Prometheus (needs root, Erlang, Elixir, tcpdump, tcpreplay, tshark, prometheus, systemd)
	$(GO) test -tags lab -count=1 -parallel 4 -run '^Test(KeyLogScript|Record|Example|Runners|WatchConfined|WatchNodes|WatchPartition|WatchFragments|WatchUnit|Prom.*)$$' ./pcaps/lab ./watch/serve
	$(GO) test -tags lab -count=1 -run '^Test(Load|Overload|SoakLive)$$' ./pcaps/bench

# These are in `make test`, too, which skips them unless root.
livetest: ## test live capture (needs root)
	$(GO) test -count=1 ./capture/live
	$(GO) test -count=1 -run '^TestRecord' ./cmd/distproof

clean: ## remove what was built
	rm -rf bin
