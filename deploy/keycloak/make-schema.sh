#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes realm.schema.json from Keycloak's own classes, after it has parsed gwasuwon-realm.json with them, strictly. Run it by hand when
# another version of Keycloak is meant; needs Java 17 and Maven. Must never change the realm.
set -euo pipefail

VERSION=${1:-26.8.1}
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
WORK=$HERE/../../build/keycloak
mkdir -p "$WORK"
cat >"$WORK/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
  <groupId>gwasuwon</groupId><artifactId>realm-schema</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.keycloak</groupId><artifactId>keycloak-core</artifactId><version>$VERSION</version></dependency>
    <dependency><groupId>org.keycloak</groupId><artifactId>keycloak-common</artifactId><version>$VERSION</version></dependency>
    <dependency><groupId>org.jboss.logging</groupId><artifactId>jboss-logging</artifactId><version>3.6.1.Final</version></dependency>
    <dependency><groupId>com.fasterxml.jackson.core</groupId><artifactId>jackson-databind</artifactId><version>2.18.2</version></dependency>
  </dependencies>
</project>
POM
mvn -q -f "$WORK/pom.xml" dependency:copy-dependencies -DoutputDirectory="$WORK/lib" >&2
java -cp "$WORK/lib/*" "$HERE/Schema.java" "$HERE/gwasuwon-realm.json" "made by make-schema.sh from org.keycloak:keycloak-core:$VERSION" >"$WORK/realm.schema.json"
mv "$WORK/realm.schema.json" "$HERE/realm.schema.json"
