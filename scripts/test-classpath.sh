# Sets `java`, `classpath` and `shared` for programs that run on the tests' classes: in a bundle what was packed, in a
# checkout what Maven compiles first. Sourced with `root` set.
#
#   . scripts/test-classpath.sh && find_test_classpath NAME || exit 1      NAME: who asks, for messages
find_test_classpath() {
  local target=$root/java/target
  if [ -x "$root/runtime/bin/java" ]; then
    java=$root/runtime/bin/java
    shared=$root/shared
    classpath=$target/test-classes:$target/lathe.jar:$target/lib/*:$target/test-lib/*
    [ -d "$target/test-classes" ] || { echo "$1: this bundle was packed with --no-tests" >&2; return 1; }
    return 0
  fi
  . "$root/scripts/jdk.sh"
  find_jdk || return 1
  java=$JAVA_HOME/bin/java
  shared=$root/../shared
  command -v mvn >/dev/null || { echo "$1: Maven (mvn) was not found" >&2; return 1; }
  mkdir -p "$target"
  exec 9>"$target/lathe-build.lock"
  ! command -v flock >/dev/null || flock 9
  (cd "$root" && mvn -q -B -ntp test-compile dependency:build-classpath -Dmdep.includeScope=test \
    -Dmdep.outputFile="$target/test-classpath" -pl java -am >"$target/$1-build.log" 2>&1) || {
    tail -n 40 "$target/$1-build.log" >&2
    return 1
  }
  exec 9>&-
  classpath=$target/test-classes:$target/classes:$(cat "$target/test-classpath")
}
