# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Python tools of the tests, each list of them in a folder of its own under build/tools. Must never install anything elsewhere, nor what the
# list does not name.

# python_tools FOLDER LIST: FOLDER/bin has the programs of LIST; made anew when the list has changed. --no-deps: all that is needed is pinned there.
python_tools() {
  local folder=$1 list=$2 sum
  sum=$(sha256sum <"$list") || return
  [[ ! -e $folder/.list || $(<"$folder/.list") != "$sum" ]] || return 0
  rm -rf "$folder"
  python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$list" && echo "$sum" >"$folder/.list"
}
