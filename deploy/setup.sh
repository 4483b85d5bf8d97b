#!/bin/sh
# Set up what `make run` (argument: run) or `make test` (argument: test) needs, once: a virtual environment with
# the locked packages and, for the tests, a browser, what runs a Kafka broker, PostgreSQL and MariaDB. Does nothing when the
# lock has not changed since last time.
set -eu
what=${1:-run}
cd "$(dirname "$0")/.."
lock=requirements.lock
[ "$what" = test ] && lock=requirements-dev.lock

say() { printf 'meterline setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

python=${PYTHON:-python3}
command -v "$python" >/dev/null 2>&1 || fail "python3 is missing: install Python 3.11 or newer"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed, this is $("$python" -V)"

apt_get() { # PACKAGE...: install with apt as root, or say in one line what is missing
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing $*"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >/dev/null 2>&1 \
      || fail "apt-get could not install: $*"
  else
    fail "missing: $*; install with: sudo apt-get install $*"
  fi
}

"$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || apt_get python3-venv

# The environment is named done only once it is whole: an interrupted set-up is begun again.
stamp=.venv/.locked-$what
wanted=$(cat "$lock" pyproject.toml | sha256sum | cut -d' ' -f1)
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ]; then
  [ -x .venv/bin/python ] && .venv/bin/python -c '' 2>/dev/null || { rm -rf .venv; "$python" -m venv .venv; }
  say "installing the locked packages (about a minute, once)"
  .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r "$lock" \
    || fail "pip could not install $lock: is the package index reachable?"
  site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  pwd > "$site/meterline.pth"
  printf '#!/bin/sh\nexec "%s" -m deploy.cli "$@"\n' "$(pwd)/.venv/bin/python" > .venv/bin/meterline
  chmod +x .venv/bin/meterline
  printf '%s' "$wanted" > "$stamp"
fi

if [ "$what" = test ]; then
  command -v chromium >/dev/null 2>&1 || apt_get chromium
  command -v java >/dev/null 2>&1 || apt_get default-jre-headless  # Java 17 or newer runs the Kafka broker,
  command -v mvn >/dev/null 2>&1 || apt_get maven                  # which Maven fetches at its first start.
  ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || {
    # Its programs alone: the tests start servers of their own, so none is to be set up beside them.
    conf=/etc/postgresql-common/createcluster.conf
    [ "$(id -u)" != 0 ] || [ -e "$conf" ] || { mkdir -p "${conf%/*}" && echo 'create_main_cluster = false' > "$conf"; }
    apt_get postgresql
  }
  # MariaDB's programs alone, for the same reason: the package mariadb-server would set up a server and start it.
  { PATH="$PATH:/usr/sbin" command -v mariadbd && command -v my_print_defaults; } >/dev/null 2>&1 \
    || apt_get mariadb-server-core mariadb-client-core
fi
