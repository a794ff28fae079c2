#!/usr/bin/env bash
# Has the system's libraries and fonts for PDFs, and with `test` a browser for the tests.
#
#   scripts/system_packages.sh [test]
#
# Root on a system with apt-get gets what is missing; everybody else the command to run. Without Pango
# no PDF can be made, so that is an error; the rest is a warning. Looks at files only: with
# everything there it takes some milliseconds.
set -euo pipefail
shopt -s nullglob

purpose="${1:-run}"
library_directories=(
  /usr/lib /usr/lib/*-linux-* /lib/*-linux-* /usr/lib64 /lib64 /usr/local/lib
  /opt/homebrew/lib /usr/local/opt/*/lib
)
font_directories=(
  /usr/share/fonts /usr/local/share/fonts "${HOME:-/}/.fonts" "${HOME:-/}/.local/share/fonts"
  /Library/Fonts /System/Library/Fonts
)

say() { printf '%s\n' "$*" >&2; }

has_library() {
  local directory found
  for directory in "${library_directories[@]}"; do
    found=("$directory/$1".so* "$directory/$1".dylib "$directory/$1".*.dylib)
    [ ${#found[@]} -eq 0 ] || return 0
  done
  return 1
}

# Fonts lie two directories deep at most, but for the user's own.
has_font() {
  local directory pattern found
  for directory in "${font_directories[@]}"; do
    for pattern in "$@"; do
      found=("$directory"/$pattern "$directory"/*/$pattern "$directory"/*/*/$pattern)
      [ ${#found[@]} -eq 0 ] || return 0
    done
  done
  return 1
}

has_browser() {
  local name
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null 2>&1; then return 0; fi
  done
  [ -d "/Applications/Google Chrome.app" ]
}

# What is missing, as Debian packages.
missing() {
  has_library libpango-1.0 || echo libpango-1.0-0
  has_library libpangoft2-1.0 || echo libpangoft2-1.0-0
  has_library libharfbuzz-subset || echo libharfbuzz-subset0
  has_font 'DejaVuSans.*' 'Arial.*' || echo fonts-dejavu-core
  has_font 'LiberationSans-*' 'Helvetica*' || echo fonts-liberation
  has_font 'NotoSansCJK*' 'wqy-*' 'DroidSansFallback*' 'PingFang*' || echo fonts-wqy-zenhei
  if [ "$purpose" = test ]; then has_browser || echo chromium; fi
}

install_debian() {
  say "Installing system packages: $*"
  export DEBIAN_FRONTEND=noninteractive
  local log
  log="$(mktemp)"
  if ! apt-get update -qq >"$log" 2>&1; then say "$(tail -n 5 "$log")"; fi
  # One by one when all at once does not work: a name that this release lacks must not stop the rest.
  if ! apt-get install -qq --no-install-recommends "$@" >"$log" 2>&1; then
    local package
    for package in "$@"; do
      apt-get install -qq --no-install-recommends "$package" >"$log" 2>&1 ||
        say "$(tail -n 3 "$log")"
    done
  fi
  rm -f "$log"
}

mapfile -t wanted < <(missing)
[ ${#wanted[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
  install_debian "${wanted[@]}"
  mapfile -t wanted < <(missing)
  [ ${#wanted[@]} -gt 0 ] || exit 0
fi

for package in "${wanted[@]}"; do
  case "$package" in
    libpango*) say "error: PDFs need Pango, which is not installed." ;;
    libharfbuzz*) say "warning: without libharfbuzz-subset PDFs are larger and slower to make." ;;
    fonts-*) say "warning: without $package some scripts are missing from PDFs." ;;
    chromium) say "warning: no Chromium, so the tests of the screens cannot run." ;;
  esac
done
if [ "$(uname -s)" = Darwin ]; then
  say "Install what is missing:  brew install pango"
elif command -v dnf >/dev/null 2>&1; then
  say "Install what is missing:  dnf install pango dejavu-sans-fonts wqy-zenhei-fonts chromium"
elif command -v apk >/dev/null 2>&1; then
  say "Install what is missing:  apk add pango font-dejavu font-wqy-zenhei chromium"
else
  say "Install what is missing:  sudo apt-get install --no-install-recommends ${wanted[*]}"
fi
case " ${wanted[*]} " in *" libpango"*) exit 1 ;; esac
