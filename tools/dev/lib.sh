# shellcheck shell=bash disable=SC2034
# What several of the scripts here need. They run in the root of the tree.

cache=${MIHARU_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/miharu}

# Objects are found again in a clone at another place: paths below the tree count as relative, the folder not at all.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1

say() { printf '\033[1m== %s\033[0m\n' "$*" >&2; }
# Exit status 3: could not.
stop() {
  printf '%s\n' "$*" >&2
  exit 3
}

# node_is_usable: the machine's own Node.js, of whatever source, is new enough and has npm.
node_is_usable() {
  command -v npm > /dev/null && [[ "$(node --version 2> /dev/null)" =~ ^v([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge 18 ]
}

# need_packages GROUP...: installs what is missing of these groups of tools/packages.txt.
need_packages() {
  command -v dpkg-query > /dev/null || return 0 # not Debian: the compiler will say what is missing
  local wanted missing group
  wanted=$(for group in "$@"; do sed -n "s/^$group  *\([^ #]*\).*/\1/p" tools/packages.txt; done)
  # shellcheck disable=SC2086 # a list of words
  missing=$(comm -23 <(sort -u <<< "$wanted") \
    <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2> /dev/null | sed -n 's/^installed //p' | sort -u))
  if [ -d web ] && [[ " $* " == *" run "* ]] && ! node_is_usable; then missing+=" nodejs npm"; fi
  missing=$(xargs <<< "$missing")
  [ -n "$missing" ] || return 0

  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null || stop "as root, run: apt-get update && apt-get install $missing"
    as_root=(sudo)
  fi
  printf 'Missing Debian packages: %s\n' "$missing" >&2
  if [ "${CI:-}" != true ] && [ "${MIHARU_YES:-}" != 1 ]; then
    [ -t 0 ] || stop "nobody to ask: run again with --yes, or install them yourself"
    local answer
    read -r -p "Install them with ${as_root[*]} apt-get? [y/N] " answer
    [[ "$answer" == [yY]* ]] || stop "nothing was installed"
  fi
  say "installing packages"
  "${as_root[@]}" apt-get -q update
  # shellcheck disable=SC2086
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $missing
}

# configure PRESET [ARGUMENTS]: only when there is no build folder yet; ninja sees to changes of CMake files.
configure() {
  local preset=$1
  shift
  [ -f "build/$preset/build.ninja" ] && return 0
  say "configuring build/$preset"
  cmake --preset "$preset" "$@" > /dev/null
}

build_targets() {
  local preset=$1
  shift
  say "building build/$preset"
  ninja -C "build/$preset" "$@"
}

# web_packages: npm ci when the lock file is another one than at the last time.
web_packages() {
  local stamp=web/node_modules/.miharu-lock
  if ! cmp -s web/package-lock.json "$stamp"; then
    say "installing packages of the page"
    (cd web && npm ci --no-audit --no-fund)
    cp web/package-lock.json "$stamp"
  fi
}

build_web() {
  if [ ! -f web/package-lock.json ]; then
    say "skipped the page: web/ is not there yet"
    return 0
  fi
  if [ -f web/dist/index.html ] &&
    [ -z "$(find web -path web/node_modules -prune -o -path web/dist -prune -o -type f -newer web/dist/index.html -print -quit)" ]; then
    return 0
  fi
  web_packages
  say "building web/dist"
  (cd web && npm run --silent build)
}

# go_program NAME VERSION PACKAGE PROGRAM [LDFLAGS]: prints the path of PROGRAM, which Go makes of PACKAGE@vVERSION, in
# the cache folder.
go_program() (
  folder=$cache/$1-$2
  if [ ! -x "$folder/$4" ]; then
    go=$(tools/dev/go.sh) || exit
    say "building $1 $2 (some minutes)"
    mkdir -p "$cache"
    # Beside its place and renamed: one that was interrupted does not count.
    new=$(mktemp -d "$cache/$1.XXXXXX") || exit
    trap 'rm -rf "$new"' EXIT
    GOBIN=$new GOFLAGS=-p=1 "$go" install -ldflags="-s -w ${5:-}" "$3@v$2" >&2 || exit
    mkdir -p "$folder"
    mv "$new/${3##*/}" "$folder/$4" || exit
  fi
  printf '%s\n' "$folder/$4"
)

# python_for_tests: prints the interpreter of a virtual environment that has test/requirements.txt.
python_for_tests() {
  local venv=$cache/python-tests stamp=$cache/python-tests/miharu-requirements
  if ! cmp -s test/requirements.txt "$stamp"; then
    say "preparing Python for the tests"
    # The system's Python: its modules from Debian (gi, for GStreamer) must be importable.
    /usr/bin/python3 -m venv --system-site-packages --clear "$venv" >&2
    "$venv/bin/pip" install -q --disable-pip-version-check -r test/requirements.txt >&2
    cp test/requirements.txt "$stamp"
  fi
  printf '%s\n' "$venv/bin/python"
}
