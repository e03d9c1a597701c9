# SPDX-License-Identifier: GPL-2.0
# See tests/bench/report. Several figures of the same thing: their median counts.

BEGIN {
	FS = "\t"
	n_subjects = split("stock stock-none nvme limit one-vcpu two-conns simple proxy", subjects, " ")
}

{
	group = $1 FS $2 FS $3 FS $4 FS $5
	remember(group, $6)
	key = group FS $6 FS $7
	values[key] = values[key] " " $8
}

END {
	for (i = 1; i <= n_groups; i++)
		print_group(groups[i])
	judge()
	exit missed > 0
}

# The order of the file is the order of the tables.
function remember(group, name)
{
	if (!(group in n_cases))
		groups[++n_groups] = group
	if (!((group, name) in seen)) {
		seen[group, name] = 1
		cases[group, ++n_cases[group]] = name
	}
}

function median(list,	v, n, i, j, swap)
{
	n = split(list, v, " ")
	for (i = 1; i < n; i++)
		for (j = i + 1; j <= n; j++)
			if (v[j] + 0 < v[i] + 0) {
				swap = v[i]
				v[i] = v[j]
				v[j] = swap
			}
	return n % 2 ? v[(n + 1) / 2] + 0 : (v[n / 2] + v[n / 2 + 1]) / 2
}

function plain(group, name, subject)
{
	return median(values[group FS name FS subject])
}

# The figure of a subject, 0 if there is none.
function value(group, name, subject,	f, a, b)
{
	if (subject == "limit") {
		a = plain(group, name, "socket")
		b = plain(group, name, "null")
		if (!b) {
			# a Unix socket has the same block layer above it
			sub(/\tunix$/, "\ttcp", group)
			b = plain(group, name, "null")
		}
		return a && b ? 1 / (1 / a + 1 / b) : 0
	}
	if (subject == "one-vcpu") {
		split(group, f, FS)
		return f[2] == 1 ? 0 : plain(f[1] FS 1 FS 1 FS 1 FS f[5], name, "ours")
	}
	if (subject == "two-conns") {
		split(group, f, FS)
		return f[3] > 2 ? plain(f[1] FS f[2] FS 2 FS f[4] FS f[5], name, "ours") : 0
	}
	return plain(group, name, subject)
}

# Whether any case of the group has a figure of that subject.
function has_subject(group, subject,	i)
{
	for (i = 1; i <= n_cases[group]; i++)
		if (value(group, cases[group, i], subject))
			return 1
	return 0
}

function plural(n, what)
{
	return n " " what (n == 1 ? "" : "s")
}

function describe(group,	f)
{
	split(group, f, FS)
	return plural(f[2], "vCPU") ", " plural(f[3], "connection") ", " plural(f[4], "job") ", " f[5]
}

function title(group,	f)
{
	split(group, f, FS)
	if (f[1] == "idle")
		return "1,024 idle devices"
	if (f[1] == "crowd")
		return "4,096 devices"
	if (f[1] == "attach")
		return plural(f[3], "connection") ": a second"
	if (f[1] == "far")
		return describe(group) ", 30 ms away: MiB/s"
	if (f[1] == "sparse")
		return describe(group) ", structured replies; 128 KiB are holes: IOPS at 10^9 instructions/s"
	if (f[1] == "tls")
		return describe(group) ", TLS in the kernel; proxy: in a process: IOPS at 10^9 instructions/s"
	if (f[1] == "beside")
		return describe(group) ", 4 KiB reads beside 1 MiB writes at 1 Gbit/s"
	if (f[1] == "wide")
		return describe(group) ", 4 KiB reads beside 1 MiB writes, link without a limit"
	return describe(group) ": IOPS" (f[1] == "icount" ? " at 10^9 instructions/s" : ", wall clock")
}

function print_group(group,	i, j, name, v, ours, line, show)
{
	printf "\nLinux %s, %s\n\n| case | ours |", kernel, title(group)
	line = "|---|---|"
	for (j = 1; j <= n_subjects; j++) {
		show[j] = has_subject(group, subjects[j])
		if (!show[j])
			continue
		printf " %s | ratio |", subjects[j]
		line = line "---|---|"
	}
	print "\n" line
	for (i = 1; i <= n_cases[group]; i++) {
		name = cases[group, i]
		ours = value(group, name, "ours")
		printf "| %s | %d |", name, ours
		for (j = 1; j <= n_subjects; j++) {
			if (!show[j])
				continue
			v = value(group, name, subjects[j])
			if (v)
				printf " %d | %.2f |", v, ours / v
			else
				printf "  |  |"
		}
		print ""
	}
}

# fits(TEXT, PATTERN): as the shell's, of * and ?
function fits(text, pattern)
{
	gsub(/\./, "\\.", pattern)
	gsub(/\*/, ".*", pattern)
	gsub(/\?/, ".", pattern)
	return text ~ ("^" pattern "$")
}

function verdict(good, text)
{
	print (good ? "met     " : "MISSED  ") text
	if (good)
		met++
	else
		missed++
}

# judge_floor(R): of all figures that it is about, the worst
function judge_floor(r,	i, j, f, group, name, ours, other, worst, where)
{
	for (i = 1; i <= n_groups; i++) {
		group = groups[i]
		split(group, f, FS)
		if (f[1] != r[3] || f[2] != r[4] || f[3] != r[5] || !fits(f[5], r[6]))
			continue
		for (j = 1; j <= n_cases[group]; j++) {
			name = cases[group, j]
			ours = value(group, name, "ours")
			other = value(group, name, r[8])
			if (!fits(name, r[7]) || !ours || !other || judged[group, name, r[8]]++)
				continue
			if (!where || ours / other < worst) {
				worst = ours / other
				where = name ", " describe(group)
			}
		}
	}
	if (where)
		verdict(worst >= r[9], sprintf("%s: %.2f times %s (%s), at least %s",
			r[7], worst, r[8], where, r[9]))
}

function judge_least(r,	i, f, v)
{
	for (i = 1; i <= n_groups; i++) {
		split(groups[i], f, FS)
		if (f[1] != r[3] || !((groups[i], r[4]) in seen))
			continue
		v = value(groups[i], r[4], "ours")
		if (v)
			verdict(v >= r[5], sprintf("%s: %s, at least %s", r[4], v, r[5]))
	}
}

function judge_limit(r,	i, f, v, base)
{
	for (i = 1; i <= n_groups; i++) {
		split(groups[i], f, FS)
		if (f[1] != r[3] || !((groups[i], r[4]) in seen))
			continue
		v = value(groups[i], r[4], "ours")
		base = r[6] ? value(groups[i], r[4], r[6]) : 0
		verdict(v - base <= r[5], sprintf("%s: %s, at most %s%s", r[4], v, r[5],
			r[6] ? " more than the " base " of " r[6] : ""))
	}
}

function judge(	line, r)
{
	print ""
	while ((getline line < floors) > 0) {
		split(line, r, /\t+/)
		if (line ~ /^(#|$)/ || !fits(kernel, r[2]))
			continue
		if (r[1] == "floor")
			judge_floor(r)
		else if (r[1] == "least")
			judge_least(r)
		else
			judge_limit(r)
	}
	printf "Linux %s: %d floors met, %d missed\n", kernel, met, missed
}
