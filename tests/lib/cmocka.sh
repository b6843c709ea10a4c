#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs one unit test program for `meson test --wrapper`: its cases go to JUnit XML of its own, what it prints to Meson's log.
set -eu
export CMOCKA_MESSAGE_OUTPUT=XML CMOCKA_XML_FILE=$TESTS_OUT/${1##*/}.%g.xml
exec "$@"
