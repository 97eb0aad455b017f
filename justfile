# What is done often. `just unit` needs a Rust toolchain and a C compiler, `just test` also npm and Python; it installs the rest and says so.

# Packages that are not in the registry.
unpublished := "--exclude mcp-client --exclude mcp-server --exclude reverse-proxy --exclude portcullis-server --exclude portcullis-examples --exclude portcullis-tests --exclude portcullis-test-support"

# List the recipes
default:
    @just --list

# Install what the tests need and this machine lacks
setup:
    #!/usr/bin/env bash
    set -euo pipefail
    missing=()
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    command -v curl >/dev/null || missing+=(curl)
    command -v npm >/dev/null || missing+=(npm)
    type -P kill >/dev/null || missing+=(procps)
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
    # A second provider. Debian has it; the tables of its database are in the folder of its documentation.
    tables=/usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz
    command -v glewlwyd >/dev/null && [ -e "$tables" ] || missing+=(glewlwyd)
    command -v sqlite3 >/dev/null || missing+=(sqlite3)
    command -v openssl >/dev/null || missing+=(openssl)
    # A reverse proxy. Debian has it in a folder for administrators.
    PATH="$PATH:/usr/sbin" command -v nginx >/dev/null || missing+=(nginx-light)
    # A browser. It brings fonts for the pages.
    command -v chromium >/dev/null || missing+=(chromium)
    if [ ${#missing[@]} -gt 0 ]; then
        echo "setup: installing Debian packages: ${missing[*]}"
        root=(); [ "$(id -u)" = 0 ] || root=(sudo)
        "${root[@]}" apt-get update -qq
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
        if [ ! -e "$tables" ]; then
            # An image of Debian without documentation.
            package=$(mktemp -d); chmod 755 "$package"
            (cd "$package" && apt-get download -qq glewlwyd && dpkg-deb -x glewlwyd_*.deb .)
            "${root[@]}" install -D -m 644 "$package$tables" "$tables"
            rm -rf "$package"
        fi
    fi
    cd "{{ justfile_directory() }}/tests/node"
    if ! cmp -s package-lock.json node_modules/.installed-lock.json; then
        echo "setup: installing npm packages into tests/node (Node itself is one of them)"
        # No package of these needs a script, and what asks for a newer Node gets the installed one.
        npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
        cp package-lock.json node_modules/.installed-lock.json
    fi
    node=(node_modules/node-*/bin/node)
    [ -x "${node[0]}" ] || node=(node)
    "${node[0]}" -e 'process.exit(parseInt(process.versions.node) < 22 ? 1 : 0)' 2>/dev/null || { echo "setup: needs Node 22 or newer"; exit 1; }
    echo "setup: node $("${node[0]}" --version), npm $(npm --version)"
    cd "{{ justfile_directory() }}/tests/python"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "setup: needs Python 3.10 or newer"; exit 1; }
    pids=()
    for requirements in *.txt; do
        environment=environments/${requirements%.txt}
        # An environment is for one version of Python.
        wanted=$(python3 --version; cat "$requirements")
        [ "$wanted" != "$(cat "$environment/installed" 2>/dev/null)" ] || continue
        echo "setup: installing Python packages into tests/python/$environment"
        (
            rm -rf "$environment"
            python3 -m venv "$environment"
            # The list is complete, and pip need not look for more; what is imported is compiled then.
            "$environment/bin/pip" install -q --disable-pip-version-check --no-deps --no-compile -r "$requirements"
            echo "$wanted" >"$environment/installed"
        ) &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    echo "setup: $(python3 --version)"

# Format everything
fmt:
    cargo fmt --all

# Formatting, clippy, documentation: no warnings. Installs rustfmt and clippy where rustup can and they are absent
lint:
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || rustup component add rustfmt clippy
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features --locked

# Licences, banned crates and sources of the dependencies
deny: (installed "cargo-deny")
    cargo deny --locked check licenses bans sources

# The crates that have features, with each of them alone
features: (installed "cargo-hack")
    cargo hack check --package portcullis --package portcullis-client --package portcullis-layer --package portcullis-store --package portcullis-store-file --each-feature --exclude-all-features --locked

# Package every crate, without building it from its package
package:
    cargo package --workspace --locked --no-verify {{ unpublished }}

# All checks of a change that are no tests
ci: lint deny features package

# Everything before a release: all checks, all tests, and what takes longer than a change should wait for
release-check: ci test msrv external-types semver
    cargo package --workspace --locked {{ unpublished }}
    cargo publish --workspace --locked --dry-run {{ unpublished }}

# The oldest Rust that `Cargo.toml` promises; the SQLite store needs a newer one than the other crates
msrv:
    #!/usr/bin/env bash
    set -euo pipefail
    check() {
        rustup toolchain install --profile minimal "$1"
        cargo "+$1" check --locked --target-dir target/msrv "${@:2}"
    }
    version() { sed -n 's/^rust-version = "\(.*\)"/\1/p' "$1"; }
    check "$(version Cargo.toml)" --package portcullis --features bridge
    check "$(version crates/store-sqlite/Cargo.toml)" --package portcullis --all-features

# Types of other crates in the public interface: those that `external-types.toml` allows
external-types: (installed "cargo-check-external-types")
    #!/usr/bin/env bash
    set -euo pipefail
    # It reads rustdoc's JSON, which is unstable.
    export RUSTC_BOOTSTRAP=1
    for manifest in crates/*/Cargo.toml; do
        grep -q '^publish = false' "$manifest" || cargo check-external-types --all-features --config external-types.toml --manifest-path "$manifest"
    done

# Breaking changes since the version in the registry. The first release has none to compare with: from the second on
semver: (installed "cargo-semver-checks")
    cargo semver-checks --workspace {{ unpublished }}

[private]
installed tool:
    command -v {{ tool }} >/dev/null || { echo "installing {{ tool }}"; cargo install --locked {{ tool }}; }

# The tests that need neither Node nor Python nor a browser nor Debian packages
unit:
    # Targets by name: all but those that begin with `e`, which start processes or need other programs.
    cargo test --workspace --locked --no-fail-fast --lib --bins --test '[!e]*'

# Everything that can be tested: units, scenarios with real components, MCP conformance, architecture, documentation
test: setup build
    @echo "test: all of it"
    # More random cases and schedules than in `just unit`.
    PROPTEST_CASES=1000 SHUTTLE_SCHEDULES=300 cargo test --workspace --locked --no-fail-fast

# One shape for every recipe, so that nothing is built twice
[private]
build:
    @echo "build: libraries, examples, tests"
    cargo build --workspace --all-targets --locked

# Documentation of the crates
doc:
    cargo doc --workspace --no-deps --all-features --locked

# The architecture is a test
tidy:
    cargo test --workspace --locked --test architecture

# Scenarios with real components
e2e: setup build
    cargo test --workspace --locked --test e2e

# The official MCP conformance suite, with and without the auth layer
conformance: setup build
    cargo test --workspace --locked --test e2e conformance

# Fuzz every target for a minute, on the stable toolchain; a crash fails, and its input is in `fuzz/artifacts`
fuzz:
    #!/usr/bin/env bash
    set -euo pipefail
    command -v cc >/dev/null && command -v c++ >/dev/null || { echo "fuzz: needs a C++ compiler (Debian: g++)"; exit 1; }
    command -v cargo-fuzz >/dev/null || { echo "fuzz: installing cargo-fuzz"; cargo install --locked cargo-fuzz; }
    cd fuzz
    # Sanitizers are unstable; nothing else of a nightly toolchain is needed.
    export RUSTC_BOOTSTRAP=1
    cargo fuzz build
    for target in $(cargo fuzz list); do
        echo "fuzz: $target"
        mkdir -p "corpus/$target"
        cargo fuzz run "$target" "corpus/$target" "seeds/$target" -- -max_total_time=60 -verbosity=0 -print_final_stats=1
    done

# Compare with similar projects: all parts, or `gate`, `grants`, `client`, `bridge`; writes docs/benchmarks.md and target/bench/*.json
bench *parts:
    # Not --locked: the lock file of the bench follows the dependencies of the product.
    cargo run --release --manifest-path bench/Cargo.toml -- {{ parts }}

# An MCP server behind the auth layer, with an identity provider inside
demo:
    cargo run -p mcp-server
