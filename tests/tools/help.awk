# Prints the help of a Makefile: `target: ## text` under `##@ group`.
BEGIN {
  print "usage: make TARGET [VARIABLE=value]"
  FS = ":.*## "
}
/^##@ / { print "\n" substr($0, 5) }
/^[a-z][a-z0-9-]*:.*## / { printf "  %-15s %s\n", $1, $2 }
END {
  print "\nVariables"
  print "  KEEP=1                     make demo: leave it running, to play with"
  print "  ENVOY=/usr/bin/envoy       make demo: another Envoy"
  print "  IMAGE=registry/name:tag    make push: where to"
  print "  VERSION=0.1.0              make release, publish: which; no tag in IMAGE"
  print "  SOURCE=https://host/name   make image, push, release: where its source is"
  print "  TLS_VERIFY=false           make push: to a registry that speaks plain HTTP"
  print "  REGISTRY_USER=name         make push: who; REGISTRY_PASSWORD as well"
  print "  CASES='returning new*'     make bench: only these rows"
  print "  ANNOTATE=1                 make bench: keep the profiles"
  print "  MODULE=other.wasm          make bench: another module"
  print "  KUBECONFIG=file            make e2e: the cluster, whose whole mesh it changes"
  print "  REGISTRY=address:port      make e2e: where the images go"
  print "  ONLY=walkthrough           make e2e: only tests with this in their names"
  print "  FUZZ_SECONDS=600           make fuzz: how long"
  print "  WASM_TOOLCHAIN=debian      make build: Debian's Rust (or: rustup)"
  print "  V=1                        all output on the screen, none in target/logs"
}
