# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Putting TAP documents together. Inside the test system results have no numbers
# ("ok - NAME", "not ok - NAME"); tests/run adds them at the end.

# tap_relay PREFIX: reads one TAP document, and writes its results with PREFIX before
# their names. A document that lacks its plan or results counts as one more failure.
tap_relay() {
	local prefix=$1 line planned='' seen=0 bailed=''

	while IFS= read -r line; do
		case $line in
		"1.."*)
			planned=${line#1..}
			planned=${planned%% *}
			;;
		"ok "* | "not ok "*)
			seen=$((seen + 1))
			tap_result "$line"
			;;
		"Bail out!"*)
			bailed=1
			echo "# $line"
			;;
		"TAP version"* | "") ;;
		"#"*) echo "$line" ;;
		*) echo "# $line" ;;
		esac
	done
	if [ -z "$planned" ]; then
		echo "not ok - $prefix: no plan"
	elif [ "$planned" != "$seen" ]; then
		echo "not ok - $prefix: $seen results of $planned${bailed:+, then it gave up}"
	fi
}

# tap_result "ok 3 - NAME # COMMENT": writes it without number, with $prefix
tap_result() {
	local verdict=ok name=$1

	if [[ $name = "not ok"* ]]; then
		verdict="not ok"
		name=${name#not }
	fi
	name=${name#ok}
	name=${name# }
	name=${name#"${name%%[!0-9]*}"}
	name=${name# }
	name=${name#- }
	echo "$verdict - $prefix: $name"
}

# tap_command NAME COMMAND...: one result: what the command's status says; its
# output is shown if it failed
tap_command() {
	local name=$1 output begin=$EPOCHREALTIME

	shift
	if output=$("$@" 2>&1); then
		echo "ok - $name # $(tap_seconds "$begin")"
		return
	fi
	# shellcheck disable=SC2001 # every line
	tail -n 200 <<<"$output" | sed 's/^/# /'
	echo "not ok - $name # $(tap_seconds "$begin")"
}

# no_warnings COMMAND...: fails if it fails or warns
no_warnings() {
	local output status

	output=$("$@" 2>&1)
	status=$?
	echo "$output"
	[ $status = 0 ] && ! grep -iE '^[^#]*warning:' <<<"$output" >/dev/null
}

# tap_seconds BEGIN: since then, for a result's comment
tap_seconds() {
	local passed=$((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}))

	echo "$((passed / 1000000)).$((passed % 1000000 / 100000)) s"
}

# tap_processor_minutes: of all processes that ended below this shell
tap_processor_minutes() {
	local stat

	read -r stat <"/proc/$$/stat"
	read -ra stat <<<"${stat##*) }"
	echo $(((stat[13] + stat[14]) / 6000))	# cutime, cstime, in hundredths of a second
}

# tap_main COMMAND...: the whole run: numbers the results that the command writes,
# repeats the failures' names, adds up what "# tally: N WORDS" counted and says that none
# was lost if nothing failed, and ends with the line that counts. A skipped test is a failure
# if STRICT=1 or CI=true. Its status is that of the run.
tap_main() {
	local begin=$EPOCHREALTIME passed=0 failed=0 skipped=0 failures=() what
	local -A tallies=()

	[ "${CI:-}" != true ] || STRICT=1
	echo "TAP version 13"
	tap_count < <("$@")
	wait $!
	[ ${#failures[@]} = 0 ] || printf '# failed: %s\n' "${failures[@]}"
	for what in "${!tallies[@]}"; do
		echo "# tried: ${tallies[$what]} $what"
	done
	[ ${#tallies[@]} = 0 ] || [ "$failed" != 0 ] || echo "# none of them was lost"
	echo "# all took $(tap_seconds "$begin"), of processors $(tap_processor_minutes) minutes"
	if [ "$skipped" != 0 ]; then
		echo "$passed passed, $failed failed, $skipped skipped"
	else
		echo "$passed passed, $failed failed"
	fi
	[ "$failed" = 0 ] && [ $((passed + skipped)) != 0 ]
}

# tap_add_tally "N WORDS"
tap_add_tally() {
	tallies[${1#* }]=$((${tallies[${1#* }]:-0} + ${1%% *}))
}

# tap_count: numbers the results that come in; sets passed, failed, skipped, failures and
# tallies
tap_count() {
	local line number=0

	while IFS= read -r line; do
		case $line in
		"ok - "*"# SKIP"*)
			number=$((number + 1))
			if [ "${STRICT:-}" = 1 ]; then
				failed=$((failed + 1))
				failures+=("${line#ok - }")
				line="not $line"
			else
				skipped=$((skipped + 1))
			fi
			;;
		"ok - "*)
			number=$((number + 1))
			passed=$((passed + 1))
			;;
		"not ok - "*)
			number=$((number + 1))
			failed=$((failed + 1))
			failures+=("${line#not ok - }")
			;;
		"# tally: "*)
			tap_add_tally "${line#"# tally: "}"
			continue
			;;
		esac
		line=${line/#ok -/ok $number -}
		echo "${line/#not ok -/not ok $number -}"
	done
	echo "1..$number"
}

# tap_unknown_selftests FOLDER...: a result for each word of SELFTESTS that is no file of
# these folders: a suite that was renamed must not be left out without a word
tap_unknown_selftests() {
	local name folder found

	for name in ${SELFTESTS:-}; do
		found=
		for folder; do
			[ ! -e "$folder/$name.sh" ] || found=1
		done
		[ -n "$found" ] || echo "not ok - there is no selftest $name"
	done
}
