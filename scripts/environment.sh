#!/usr/bin/env bash
# Has the virtual environment .venv ready: `scripts/environment.sh requirements.txt`.
#
# Nothing is installed while the pins are the ones that were installed last: their checksum is kept in
# .venv. Every package must match its pinned hash. uv is used where it works, else pip.
set -euo pipefail
cd "$(dirname "$0")/.."

pins="${1:?usage: scripts/environment.sh REQUIREMENTS_FILE}"
venv=.venv
python="$venv/bin/python"
enough='import sys; sys.exit(sys.version_info < (3, 11))'

say() { printf '%s\n' "$*" >&2; }

find_python() {
  local candidate
  for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
    if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c "$enough" 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  say "error: Python 3.11 or newer is needed; found: $(python3 --version 2>&1 || echo none)."
  say "Install one (Debian, Ubuntu: apt-get install python3 python3-venv), then run this again."
  exit 1
}

make_environment() {
  local base
  base="$(find_python)"
  say "Creating $venv with $("$base" --version 2>&1)"
  rm -rf "$venv"
  if uv venv --quiet --seed --python "$base" "$venv" 2>/dev/null; then return; fi
  if ! "$base" -m venv "$venv"; then
    say "error: $base cannot create virtual environments. Debian, Ubuntu: apt-get install python3-venv"
    exit 1
  fi
}

# pip's "Collecting …" lines, counted; its errors go to the screen as they are.
count_packages() {
  local total="$1"
  awk -v total="$total" -v live="$([ -t 2 ] && echo 1 || echo 0)" '
    /^Collecting |^Requirement already satisfied/ {
      n += 1
      if (live) printf "\r  %d of at most %d packages", n, total > "/dev/stderr"
      else if (n % 25 == 0) print "  " n " of at most " total " packages" > "/dev/stderr"
    }
    END { if (live && n) print "" > "/dev/stderr" }'
}

install_packages() {
  local total
  total="$(grep -c '^[a-z0-9].*==' "$pins")"
  say "Installing $pins ($total pinned packages; the first time takes a minute or two)"
  if uv --version >/dev/null 2>&1 &&
    uv pip install --python "$python" --require-hashes -r "$pins" 2>"$venv/uv.log"; then
    return
  fi
  "$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip --upgrade >/dev/null
  "$python" -m pip install --disable-pip-version-check --progress-bar off --require-hashes \
    -r "$pins" | count_packages "$total"
}

"$python" -c "$enough" 2>/dev/null || make_environment
stamp="$venv/.installed-$(basename "$pins")"
checksum="$("$python" -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$pins")"
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$checksum" ]; then
  install_packages
  printf '%s\n' "$checksum" >"$stamp"
fi
