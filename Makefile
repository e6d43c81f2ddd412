# Holdfast. Two commands do all set-up on a fresh Debian or Ubuntu machine with Go and Node:
#   make demo    three sites with moving pictures on http://localhost:8080
#   make test    everything that CI runs
SHELL := /bin/bash
GO    ?= go
TOOL  := $(GO) tool -modfile=testenv/tools/go.mod
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
PORTAL_SOURCES := $(shell find cloud/portal -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -name '*.go' 2>/dev/null)

.PHONY: help demo test unit lint bench bench-record bench-live bench-mirror durability e2e fuzz dist screenshots portal browser cross schema smoke wine setup powercut nat soak

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup:
	@testenv/scripts/setup.sh

portal: cloud/portal/dist/index.html

browser: testenv/e2e/node_modules/.package-lock.json

testenv/e2e/node_modules/.package-lock.json: testenv/e2e/package.json testenv/e2e/package-lock.json
	cd testenv/e2e && npm ci --no-audit --no-fund --loglevel=error && touch node_modules/.package-lock.json

cloud/portal/node_modules/.package-lock.json: cloud/portal/package.json cloud/portal/package-lock.json
	cd cloud/portal && npm ci --no-audit --no-fund --loglevel=error && touch node_modules/.package-lock.json

cloud/portal/dist/index.html: cloud/portal/node_modules/.package-lock.json $(PORTAL_SOURCES)
	cd cloud/portal && npm run --silent build && touch dist/index.html

demo: setup portal ## three sites with fake cameras, a cloud and the portal (FOR=2m ends by itself)
	$(GO) run ./testenv/cmd/demo $(if $(FOR),--for $(FOR))

# What measures time comes after the rest. The first ones wait more than they work and share the machine, with each other and
# with the linter, which vets too, and the portal's own tests; the others have it for themselves. None of them comes from Go's
# cache, which doesn't know the programs that they build and start.
QUIET  := ./testenv/count ./testenv/fulldisk ./testenv/line/real ./testenv/nat ./agent/camera ./testenv/line ./agent/live/restream \
          ./agent/cmd/holdfast-agent ./cloud/clip
BUSY   := ./agent/live ./testenv/e2e ./testenv/powercut
HOUSES := $(QUIET) $(BUSY)
# Two browsers and a whole network are too much beside others.
CROWD  := TestTwoBrowsersShareACamera
TEST   := $(GO) test -vet=off
test: setup portal browser ## everything that CI runs
	$(GO) run ./testenv/cmd/withpg bash -c '\
	  $(TEST) -timeout 10m -p 3 $$($(GO) list ./... | grep -v -x -F $(HOUSES:./%=-e holdfast/%)) && \
	  testenv/scripts/beside.sh "$(MAKE) --no-print-directory lint cross unit" $(TEST) -count=1 -timeout 12m -p 4 -parallel 8 -skip $(CROWD) $(QUIET) && \
	  $(TEST) -count=1 -timeout 12m -p 1 $(BUSY) && $(TEST) -count=1 -run $(CROWD) ./testenv/nat'

unit: portal ## the portal's own tests
	cd cloud/portal && npm run --silent test

lint: portal ## golangci-lint, the portal's types against the door's, known vulnerabilities where the database can be reached
	$(TOOL) golangci-lint run --allow-parallel-runners
	testenv/scripts/schema.sh check
	testenv/scripts/vuln.sh "$(TOOL) govulncheck"

schema: ## the portal's client types, from the Go types of the API
	testenv/scripts/schema.sh

e2e: setup portal browser ## the browser tests alone, and every page in the dark as well
	E2E_LONG=1 $(GO) run ./testenv/cmd/withpg $(GO) test -count=1 -timeout 10m -v ./testenv/e2e/...

bench: setup portal browser ## figures as "name: value unit"
	$(GO) run ./testenv/bench -tries 10
	$(GO) run ./testenv/powercut -n 50 -scenes none

powercut: setup ## cut the power N times (200 if not said) and account for every frame, then faults of disk and clock
	$(GO) run ./testenv/powercut -n $(or $(N),200)

nat: setup portal browser ## live view through every pair of the world's routers, and to a crowd behind a narrow line
	$(GO) test -count=1 -timeout 30m -v ./testenv/nat -long

bench-record: setup ## what recording costs: N=64 streams, SECONDS=60, HEAVY=60 s of 80 x 4 Mbit/s; PEER_CMD (see testenv/bench/record.go)
	$(GO) run ./testenv/bench -run record,heavy -n $(or $(N),64) -for $(or $(SECONDS),60)s -heavy $(or $(HEAVY),60)s

bench-live: setup portal browser ## how soon a picture is there, near and 80 ms away: TRIES=40 of each kind; PEER_WHEP_URL, PEER_GOP (see testenv/bench/live.go)
	$(GO) run ./testenv/bench -run live,live_far -tries $(or $(TRIES),40)

soak: setup portal browser ## eight hours of watching, first at twenty times the pace (FOR=1h for less): nothing may grow
	set -o pipefail; $(GO) test -count=1 -timeout 2h -v -run TestViewingHoldsOnToNothing ./agent/live -viewing $(or $(FOR),8h) | grep -v visitor
	$(GO) run ./testenv/bench -run soak -soak $(or $(FOR),8h)

bench-mirror: setup ## what mirroring costs and how fast it is: EVENTS=1000000 after an outage, CLIPS=1000 MB through a line with cuts
	$(GO) run ./testenv/bench -run drain,drain_postgres,narrow,quiet,upload -for 3m -events $(or $(EVENTS),1000000) -clips $(or $(CLIPS),1000)
	$(GO) run ./testenv/cmd/withpg $(GO) test -count=1 -timeout 20m -v -run TestAPreviewOfManyEvents ./cloud/clip -events 1000000
	$(GO) test -count=1 -timeout 1h -v ./testenv/line/real -long

durability: setup ## 5,000 seeds of power cuts, an error at every operation of the disk, 500 kills, ten minutes of standing still
	set -o pipefail; $(GO) test -count=1 -timeout 4h -v -run 'TestPowerCutsLeaveNoHole|TestAnErrorAtEveryOperation' ./agent/record -seeds 5000 -stride 1 | grep -v '^ *=== \|^ *--- PASS'
	$(GO) test -count=1 -timeout 2h -v -run TestTroubleOnTheRealProgram ./testenv/count -kills 500 -freeze 10m

fuzz: ## every parser of foreign bytes, each for T=1m, two beside each other (ONLY=name for some)
	$(GO) run ./testenv/cmd/fuzz -t $(or $(T),1m) -parallel 1 -at-once 2 -only '$(ONLY)'

cross: ## builds for every system that is supported
	for t in linux/amd64 linux/arm64 windows/amd64; do \
	  CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build -o /dev/null ./agent/... ./shared/... || exit 1; \
	done
	for t in linux/amd64 linux/arm64; do \
	  CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build -o /dev/null ./cloud/... || exit 1; \
	done

dist: portal ## binaries for linux amd64/arm64 and windows amd64, and the deb, in dist/
	VERSION=$(VERSION) installer/dist.sh

smoke: setup ## the Debian packages in a machine of their own with a real systemd (root)
	HOLDFAST_SMOKE=debian $(GO) test -count=1 -timeout 20m -v -run TestD ./installer/smoke

wine: setup ## the Windows agent under Wine (root, the first time)
	HOLDFAST_SMOKE=wine $(GO) test -count=1 -timeout 20m -v -run TestWindowsProgram ./installer/smoke

screenshots: setup portal browser ## the README's pictures, taken from the running demo
	testenv/scripts/screenshots.sh
