# Prints the help of a Makefile: `target: ## text` under `##@ group`.
BEGIN {
  print "usage: make TARGET [VARIABLE=value]"
  FS = ":.*## "
}
/^##@ / { print "\n" substr($0, 5) }
/^[a-z][a-z-]*:.*## / { printf "  %-13s %s\n", $1, $2 }
END {
  print "\nVariables"
  print "  KEEP=1                     make demo: leave it running, to play with"
  print "  ENVOY=/usr/bin/envoy       make demo: another Envoy"
  print "  IMAGE=registry/name:tag    make push: where to"
  print "  TLS_VERIFY=false           make push: to a registry that speaks plain HTTP"
  print "  FUZZ_SECONDS=600           make fuzz: how long"
  print "  WASM_TOOLCHAIN=debian      make build: Debian's Rust (or: rustup)"
  print "  V=1                        all output on the screen, none in target/logs"
}
