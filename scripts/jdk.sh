# Finds a JDK 25 or newer and exports JAVA_HOME. Sourced by the other scripts; needs nothing but bash.
#
#   . scripts/jdk.sh && find_jdk || exit 1
#
# Looked at in this order: JAVA_HOME, the javac in PATH, the folders where JDKs are usually installed.

LATHE_JDK=25

# Prints the major version of the JDK in folder $1, or nothing where there is none (a JRE has no javac).
jdk_major() {
  local version= line
  [ -x "$1/bin/java" ] && [ -x "$1/bin/javac" ] || return 0
  if [ -r "$1/release" ]; then # cheaper than starting it
    while IFS= read -r line; do
      case $line in JAVA_VERSION=*) version=${line#JAVA_VERSION=} ;; esac
    done <"$1/release"
  else
    version=$("$1/bin/javac" -version 2>&1) || return 0
    version=${version#javac }
  fi
  version=${version//\"/}
  version=${version%%[!0-9]*}
  printf '%s' "$version"
}

find_jdk() {
  local candidate major found='' javac=''
  local -a candidates=()
  [ -n "${JAVA_HOME:-}" ] && candidates+=("$JAVA_HOME")
  javac=$(command -v javac) && javac=$(readlink -f "$javac" 2>/dev/null || printf '%s' "$javac") &&
    candidates+=("${javac%/bin/javac}")
  candidates+=(/usr/lib/jvm/* /usr/java/* /opt/* /opt/java/* /usr/local/* "${HOME:-/root}"/.sdkman/candidates/java/*
    "${HOME:-/root}"/.jdks/* /Library/Java/JavaVirtualMachines/*/Contents/Home
    /opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home)
  for candidate in "${candidates[@]}"; do
    major=$(jdk_major "$candidate")
    [ -n "$major" ] || continue
    if [ "$major" -ge "$LATHE_JDK" ]; then
      export JAVA_HOME=$candidate
      return 0
    fi
    case " $found " in *" $candidate "*) ;; *) found="$found $candidate (JDK $major)" ;; esac
  done
  {
    echo "lathe: no JDK $LATHE_JDK or newer was found."
    [ -z "$found" ] || echo "  Found, but too old:$found"
    echo "  Install one (a JDK, not a JRE; https://adoptium.net has them for every system) and set JAVA_HOME to its folder."
    echo "  Looked at: JAVA_HOME, the javac in PATH, /usr/lib/jvm, /usr/java, /usr/local, /opt, ~/.sdkman, ~/.jdks."
  } >&2
  return 1
}
