# Sourced by ./run, ./check and ./teledom: puts the pinned environment into the cache, once, and names its Python.
# Sets PYTHON (the environment's interpreter) and TELEDOM_CACHE. Installs nothing into the system.
set -euo pipefail
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd_cache() {
    local base
    for base in "${TELEDOM_CACHE:-}" "${XDG_CACHE_HOME:+$XDG_CACHE_HOME/teledom}" "${HOME:-/nonexistent}/.cache/teledom" "/tmp/teledom-cache-$(id -u)"; do
        if [ -n "$base" ] && mkdir -p "$base" 2>/dev/null && [ -w "$base" ]; then TELEDOM_CACHE=$base; return; fi
    done
    echo "teledom: no folder to cache in can be written: set TELEDOM_CACHE to one" >&2
    exit 1
}
cd_cache
export TELEDOM_CACHE

base_python=${TELEDOM_PYTHON:-python3}
if ! "$base_python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "teledom: Python 3.11 or newer is needed, and '$base_python' is not one: install python3, or set TELEDOM_PYTHON" >&2
    exit 1
fi
env_key=$({ "$base_python" -c 'import sys; print(sys.version, sys.base_prefix)'; cat "$TOP/requirements/dev.txt"; } | sha256sum | cut -c1-16)
env_dir=$TELEDOM_CACHE/env-$env_key
PYTHON=$env_dir/bin/python

make_env() {
    local work pip_wheel
    work=$env_dir.new.$$
    rm -rf "$work"
    if "$base_python" -c 'import ensurepip' 2>/dev/null; then
        "$base_python" -m venv "$work"
        set -- "$work/bin/python" -m pip
    else
        # Debian keeps ensurepip in a package of its own: the pip wheel out of another package does as well.
        "$base_python" -m venv --without-pip "$work"
        (cd "$work" && apt-get -qq download python3-pip-whl && dpkg -x python3-pip-whl_*.deb pip-whl) || {
            echo "teledom: this Python cannot make environments: apt-get install python3-venv" >&2
            exit 1
        }
        pip_wheel=$(ls "$work"/pip-whl/usr/share/python-wheels/pip-*.whl)
        set -- env PYTHONPATH="$pip_wheel" "$work/bin/python" -m pip
    fi
    "$@" install -qq --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r "$TOP/requirements/dev.txt"
    # An environment's scripts name its folder: it is used by its interpreter alone, so it can be moved.
    mv -T "$work" "$env_dir" 2>/dev/null || rm -rf "$work"
}
if [ ! -x "$PYTHON" ]; then
    echo "environment: installing pinned packages into $env_dir"
    make_env
fi
export PYTHON PYTHONPATH=$TOP
