# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing: Debian packages, Node.js, the Node modules of package-lock.json.
# Must never start a system service, make Debian's default database cluster, or leave either to the next boot.

NODE_WANTED=20
NODE_FALLBACK=22.12.0
NODE_HOME=$ROOT/build/tools/node
POLICY=/usr/sbin/policy-rc.d
POLICY_MARK='No service starts while Gwasuwon installs packages.'
CLUSTER_POLICY=/etc/postgresql-common/createcluster.d/gwasuwon-install.conf
# Units that the packages switch on: those that were not there before are switched off again.
SYSTEM_UNITS=(nginx.service postgresql.service rabbitmq-server.service epmd.service epmd.socket)

as_root() {
  if ((EUID == 0)); then
    "$@"
  else
    sudo "$@"
  fi
}

# install_packages LIST...: a list is a file with one package a line.
install_packages() {
  local -a wanted missing=()
  local package have
  mapfile -t wanted < <(sed 's/#.*//; /^[[:space:]]*$/d' "$@")
  have=" $(dpkg-query -W -f '${Package}=${db:Status-Status} ' "${wanted[@]}" 2>/dev/null || true)"
  for package in "${wanted[@]}"; do
    [[ $have == *" $package=installed "* ]] || missing+=("$package")
  done
  if ((${#missing[@]} == 0)); then
    return
  fi
  if ((EUID != 0)) && ! command -v sudo >/dev/null; then
    fail 'packages are missing and there is no sudo' '' "as root: apt-get install --no-install-recommends ${missing[*]}"
  fi
  ((EUID == 0)) || sudo -v
  say packages "installing ${#missing[@]}: ${missing[*]}"
  install_quietly "${missing[@]}"
  say packages 'installed'
}

# Runs apt with services and default clusters held back, and takes both holds away whatever happens.
install_quietly() (
  local -a absent=()
  local unit made_policy='' made_folder=''
  for unit in "${SYSTEM_UNITS[@]}"; do
    [[ -e /lib/systemd/system/$unit || -e /etc/systemd/system/$unit ]] || absent+=("$unit")
  done
  # shellcheck disable=SC2317 # called by the trap
  release_holds() {
    [[ -z $made_policy ]] || as_root rm -f "$POLICY"
    as_root rm -f "$CLUSTER_POLICY"
    [[ -z $made_folder ]] || as_root rmdir "${CLUSTER_POLICY%/*}" 2>/dev/null || true
  }
  trap release_holds EXIT
  # The mark tells one that a killed installation of ours left from one that is the machine's own.
  if [[ ! -e $POLICY ]] || grep -q "$POLICY_MARK" "$POLICY"; then
    made_policy=1
    printf '#!/bin/sh\n# %s\nexit 101\n' "$POLICY_MARK" | as_root install -m 755 /dev/stdin "$POLICY"
  fi
  [[ -d ${CLUSTER_POLICY%/*} ]] || made_folder=1
  as_root mkdir -p "${CLUSTER_POLICY%/*}"
  echo 'create_main_cluster = false' | as_root install -m 644 /dev/stdin "$CLUSTER_POLICY"

  run_logged packages "$LOGS/apt-update.log" as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update ||
    say packages "the package lists could not be renewed ($LOGS/apt-update.log): trying with those at hand"
  run_logged packages "$LOGS/apt.log" as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install "$@" ||
    fail 'apt could not install the packages' "$LOGS/apt.log" 'mend what apt names (network, sources, a held lock), run ./dev up again'
  if command -v systemctl >/dev/null; then
    for unit in "${absent[@]}"; do
      [[ ! -e /lib/systemd/system/$unit ]] || as_root systemctl --quiet disable "$unit" >/dev/null 2>&1 || true
    done
  fi
)

node_major() { "$1" -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0; }

# Node.js 20 or newer: the machine's, else one of our own under build/tools (Debian 12 has 18, enough to fetch it with).
prepare_node() {
  if [[ -x $NODE_HOME/bin/node ]]; then
    PATH=$NODE_HOME/bin:$PATH
    return
  fi
  if command -v node npm >/dev/null && (($(node_major node) >= NODE_WANTED)); then
    return
  fi
  command -v npm >/dev/null || install_packages <(printf 'nodejs\nnpm\n')
  if (($(node_major node) < NODE_WANTED)); then
    say node "Node.js $(node --version) is too old: putting $NODE_FALLBACK under build/tools"
    run_logged node "$LOGS/node.log" npm install --no-save --no-audit --no-fund --prefix "$NODE_HOME.new" "node@$NODE_FALLBACK" ||
      fail 'Node.js could not be installed' "$LOGS/node.log" "install Node.js $NODE_WANTED or newer yourself, run ./dev up again"
    mkdir -p "$NODE_HOME/bin"
    cp "$NODE_HOME.new/node_modules/node/bin/node" "$NODE_HOME/bin/node"
    rm -rf "$NODE_HOME.new"
    PATH=$NODE_HOME/bin:$PATH
  fi
}

install_modules() {
  local stamp=$ROOT/node_modules/.gwasuwon-lock want
  want=$(sum_of "$ROOT/package-lock.json")
  if [[ -e $stamp && $(<"$stamp") == "$want" ]]; then
    return
  fi
  # Another stack of this checkout may be installing them.
  mkdir -p "$ROOT/build"
  exec 8>"$ROOT/build/modules.lock"
  flock 8
  if [[ ! -e $stamp || $(<"$stamp") != "$want" ]]; then
    say modules 'installing the Node modules'
    # No install scripts: none of these packages needs its own to work.
    run_logged modules "$LOGS/npm.log" npm ci --prefix "$ROOT" --ignore-scripts --no-audit --no-fund ||
      fail 'npm could not install the modules' "$LOGS/npm.log" 'mend what npm names (network, registry settings), run ./dev up again'
    echo "$want" >"$stamp"
    say modules 'installed'
  fi
  exec 8>&-
}

DBMATE=$ROOT/node_modules/@dbmate/linux-$([[ $(uname -m) == aarch64 ]] && echo arm64 || echo x64)/bin/dbmate

prepare_machine() {
  [[ -e /etc/debian_version ]] || fail 'this is no Debian system' '' 'Gwasuwon is built and run on Debian 12'
  install_packages "$ROOT/stack/packages.apt" "$@"
  prepare_node
  install_modules
}
