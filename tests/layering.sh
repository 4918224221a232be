#!/bin/sh
# layering.sh: who may include whom: every #include edge of the tree against the tables below.
#
#   tests/layering.sh [ROOT]       names each forbidden edge as file:line, exit 1 if there is any
#   tests/layering.sh --self-test  plants edges in a tree of its own and expects just the forbidden ones
#
# A test or fuzz target may include what the libraries it links may include (its unit(…) or fuzz(…)
# line), and those libraries themselves.
set -eu

# folder, then the folders it may include from, itself excepted. "worker" is worker/*.c, which builds
# the layers.
folders() {
    cat <<'END'
shared
master          shared
worker/loop     shared
worker/net      worker/loop shared
worker/http     worker/net worker/loop shared
worker/validate shared
worker/auth     worker/loop shared
worker/store    worker/loop shared
worker/upstream worker/loop shared
worker/api      worker/validate worker/auth worker/store worker/upstream worker/http worker/net worker/loop shared
worker/admin    worker/http worker/net worker/loop shared
worker/tools    worker/validate worker/auth worker/store worker/loop shared
worker          worker/admin worker/tools worker/api worker/validate worker/auth worker/store worker/upstream worker/http worker/net worker/loop shared
END
}

# header (or its beginning, up to *) of a package, then the only folders or files that may include it.
headers() {
    cat <<'END'
sqlite3.h   worker/store
jwt.h       worker/auth/token.c
sodium.h    worker/auth
ev.h        worker/loop/loop.h master
llhttp.h    worker/http
jansson.h   worker/validate worker/auth shared/json_memory.c master/ctl_json.h master/ctl_print.c master/top_facts.c
idn2.h      worker/validate
uni*        worker/validate
libpq-fe.h  worker/store
curl/*      worker/upstream
openssl/*   worker/net worker/auth
zlib.h      worker/api/assets.c
bsd/*       shared/title.c
pthread.h   worker/loop worker/auth worker/store shared worker/upstream/curl_memory.c
END
}

# unistd.h begins like libunistring's headers.
plain_headers='unistd.h'

check_tree() {
    cd "$1"
    {
        folders | sed 's/^/folder /'
        headers | sed 's/^/header /'
        sed -n 's/^ *\(unit\|fuzz\)(\([^ )]*\) *\([^)]*\)).*/links \1 \2 \3/p' \
            tests/unit/CMakeLists.txt tests/fuzz/CMakeLists.txt 2>/dev/null || true
        echo files
        find master worker shared tests -name '*.[ch]' 2>/dev/null | sort |
            while read -r file; do
                grep -nE '^[[:space:]]*#[[:space:]]*include' "$file" /dev/null || true
            done
    } | awk -v plain="$plain_headers" '
        function bad(why) { printf "%s:%s: %s\n", file, line, why; failed = 1 }

        # The folder of a path as the table knows it, or "".
        function folder_of(path,   part, n, dir) {
            n = split(path, part, "/")
            dir = part[1] == "worker" && n > 2 ? part[1] "/" part[2] : n > 1 ? part[1] : ""
            return dir in allowed ? dir : ""
        }
        function may(from, to) { return from == to || index(" " allowed[from] " ", " " to " ") > 0 }

        # A test: whatever one of its libraries may, or is.
        function test_may(to,   n, libs, i, folder) {
            n = split(linked, libs, " ")
            for (i = 1; i <= n; i++) {
                folder = libs[i]
                sub(/^worker_/, "worker/", folder)
                if (folder in allowed && may(folder, to)) return 1
            }
            return 0
        }
        function matches(pattern, header,   beginning) {
            if (pattern !~ /\*$/) return pattern == header
            beginning = substr(pattern, 1, length(pattern) - 1)
            return substr(header, 1, length(beginning)) == beginning && index(" " plain " ", " " header " ") == 0
        }
        function header_may(owners,   n, list, i, owner) {
            n = split(owners, list, " ")
            for (i = 1; i <= n; i++) {
                owner = list[i]
                if (is_test) {
                    sub(/\/[^\/]*\.[ch]$/, "", owner)
                    if (test_may(owner)) return 1
                } else if (file == owner || from == owner)
                    return 1
            }
            return 0
        }

        $1 == "folder" && !started { name = $2; $1 = $2 = ""; allowed[name] = $0; next }
        $1 == "header" && !started { name = $2; $1 = $2 = ""; owners[name] = $0; next }
        $1 == "links" && !started { name = $3; $1 = $2 = $3 = ""; links[name] = $0; next }
        $0 == "files" && !started { started = 1; next }
        {
            split($0, part, ":")
            file = part[1]
            line = part[2]
            text = substr($0, length(file) + length(line) + 3)
            is_test = file ~ /^tests\//
            from = folder_of(file)
            linked = "shared"
            if (is_test) {
                base = file
                sub(/^.*\//, "", base)
                sub(/\.[ch]$/, "", base)
                if (base in links) linked = links[base] " shared"
                else linked = "shared master worker_loop worker_net worker_http worker_validate worker_auth worker_store worker_upstream"
            } else if (from == "") { bad("in no folder of the table"); next }

            if (match(text, /"[^"]*"/)) {
                target = substr(text, RSTART + 1, RLENGTH - 2)
                edges++
                if (target ~ /^generated\/|^version\.h$|^(fault|tls|curl)_build\.h$|^embedded_[a-z_]*\.h$/) next
                if (is_test && (target ~ /^tests\// || target !~ /\//)) next # of the tests themselves
                to = folder_of(target)
                if (to == "") bad("\"" target "\": write includes from the root")
                else if (is_test ? !test_may(to) : !may(from, to))
                    bad((is_test ? "a test that links" linked : from) " may not include " target)
                else if ((getline ignored < target) < 0) bad("\"" target "\" does not exist")
                close(target)
            } else if (match(text, /<[^>]*>/)) {
                target = substr(text, RSTART + 1, RLENGTH - 2)
                for (pattern in owners)
                    if (matches(pattern, target) && !header_may(owners[pattern]))
                        bad("<" target "> belongs to" owners[pattern])
            }
        }
        END {
            if (edges == 0) { print "no include edge found: wrong directory?"; exit 1 }
            exit failed
        }'
}

# ---- self-test -----------------------------------------------------------------------------------

# plant FILE INCLUDE [TREE]: one line into a file of the self-test's tree, or of a copy.
plant() {
    mkdir -p "${3:-$tree}/$(dirname "$1")"
    echo "#include $2" >>"${3:-$tree}/$1"
}

self_test() {
    tree=$(mktemp -d)
    trap 'rm -rf "$tree"' EXIT
    for header in shared/str.h shared/entry.h master/supervisor.h worker/loop/task.h worker/net/conn.h \
        worker/http/request.h worker/http/status.def worker/validate/json.h worker/auth/token.h worker/store/store.h worker/api/api.h; do
        plant "$header" '<stddef.h>'
    done
    mkdir -p "$tree/tests/unit" "$tree/tests/fuzz"
    echo 'unit(test_supervisor master)' >"$tree/tests/unit/CMakeLists.txt"
    echo 'unit(test_session worker_http)' >>"$tree/tests/unit/CMakeLists.txt"
    echo 'fuzz(fuzz_json worker_validate)' >"$tree/tests/fuzz/CMakeLists.txt"

    # what is allowed
    plant shared/str.c '"shared/str.h"'
    plant shared/str.c '<unistd.h>'
    plant master/spawn.c '"shared/entry.h"'
    plant master/master.c '<ev.h>'
    plant master/ctl_print.c '<jansson.h>'
    plant worker/loop/loop.h '<ev.h>'
    plant worker/net/conn.c '"worker/loop/task.h"'
    plant worker/http/session.c '"worker/net/conn.h"'
    plant worker/http/response.c '"worker/http/status.def"'
    plant worker/auth/token.c '<jwt.h>'
    plant worker/store/sqlite.c '<sqlite3.h>'
    plant worker/api/users.c '"worker/store/store.h"'
    plant worker/worker.c '"worker/api/api.h"'
    plant tests/unit/test_supervisor.c '"master/supervisor.h"'
    plant tests/unit/test_session.c '"worker/loop/task.h"'
    plant tests/fuzz/fuzz_json.c '"worker/validate/json.h"'
    if ! check_tree "$tree"; then
        echo "self-test: an allowed edge was refused"
        exit 1
    fi

    # what is not: one edge at a time, and it alone must be named
    while read -r file include; do
        cp -a "$tree" "$tree.one"
        plant "$file" "$include" "$tree.one"
        named=$(check_tree "$tree.one" || true)
        count=$(printf '%s\n' "$named" | grep -c "^$file:" || true)
        total=$(printf '%s\n' "$named" | wc -l)
        rm -rf "$tree.one"
        if [ "$count" != 1 ] || [ "$total" != 1 ]; then
            echo "self-test: $file including $include was named $count times among $total lines, not once"
            exit 1
        fi
        echo "red as it should be: $file including $include"
    done <<'END'
shared/log.c "master/supervisor.h"
shared/log.c "worker/loop/task.h"
master/master.c "worker/store/store.h"
master/master.c "worker/api/api.h"
worker/worker.c "master/supervisor.h"
worker/loop/loop.c "worker/net/conn.h"
worker/net/listener.c "worker/http/request.h"
worker/http/router.c "worker/api/api.h"
worker/http/router.c "worker/validate/json.h"
worker/validate/email.c "worker/auth/token.h"
worker/validate/email.c "worker/loop/task.h"
worker/auth/password.c "worker/store/store.h"
worker/store/store.c "worker/auth/token.h"
worker/store/store.c "worker/http/request.h"
worker/http/guard.c "request.h"
worker/http/guard.c "worker/http/nothing.h"
worker/http/guard.c "../http/request.h"
worker/api/users.c <sqlite3.h>
worker/auth/password.c <jwt.h>
worker/api/users.c <sodium.h>
worker/net/conn.c <ev.h>
worker/net/conn.c <llhttp.h>
worker/api/users.c <jansson.h>
master/master.c <jansson.h>
worker/net/conn.c <pthread.h>
master/spawn.c <pthread.h>
shared/str.c <unistr.h>
worker/odd/thing.c "shared/str.h"
worker/loop/loop.c <bsd/unistd.h>
tests/unit/test_supervisor.c "worker/store/store.h"
tests/unit/test_session.c "worker/api/api.h"
tests/unit/test_session.c "master/supervisor.h"
tests/unit/test_session.c <sqlite3.h>
tests/fuzz/fuzz_json.c "worker/http/request.h"
END
}

case ${1:-} in
--self-test) self_test ;;
'') check_tree "$(dirname "$(readlink -f "$0")")/.." ;;
*) check_tree "$1" ;;
esac
