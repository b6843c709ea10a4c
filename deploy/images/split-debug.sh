#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Takes a built program apart: TARGET/NAME without symbols, for an image, and TARGET/NAME.debug, which gdb finds by the link in the first.
# Must never change the program it was given.
#
#   deploy/images/split-debug.sh PROGRAM TARGET
set -euo pipefail

program=$1 target=$2
name=$(basename "$program")
mkdir -p "$target"
objcopy --only-keep-debug "$program" "$target/$name.debug"
objcopy --strip-all --remove-section=.comment "$program" "$target/$name"
objcopy --add-gnu-debuglink="$target/$name.debug" "$target/$name"
chmod 755 "$target/$name"
chmod 644 "$target/$name.debug"
