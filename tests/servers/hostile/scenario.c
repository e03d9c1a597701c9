// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <err.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../../common.h"
#include "control.h"
#include "scenario.h"

#define AT_TARGET	" lba=" TARGET_START " end=" TARGET_END
#define READ		" type=read" AT_TARGET
#define WRITE		" type=write" AT_TARGET

struct scenario {
	const char *name, *phase, *io;
	int conns;
	const char *outcome;
	const char *commands;	/* separated by newlines */
	const char *text;
};

/* A block, whose reply is cut off at every byte. */
#define SMALL_READ	512

#define TX "transmission"
#define HS "handshake"

static const struct scenario fixed[] = {
	/* replies that are legal, if unusual */
	{ "drip-read", TX, "read", 1, "ok", "drip" READ " n=1", "reply in pieces of one byte" },
	{ "drip-paused", TX, "read", 1, "ok", "drip" READ " n=97 t=1ms",
	  "reply in odd pieces with pauses" },
	{ "drip-write", TX, "write", 1, "ok", "drip" WRITE " n=1 t=1ms",
	  "reply of a write in pieces of one byte" },
	{ "reverse", TX, "reads", 1, "ok", "reorder mode=reverse n=16 count=64" READ,
	  "replies in reversed order" },
	{ "shuffle", TX, "reads", 1, "ok", "reorder mode=shuffle n=16 count=64" READ,
	  "replies in random order" },
	{ "slow", TX, "read", 1, "ok", "hold t=2" READ, "reply after two seconds" },

	/* framing */
	{ "magic", TX, "read", 1, "drop", "magic" READ " value=0x12345678", "wrong magic" },
	{ "magic-zero", TX, "write", 1, "drop", "magic" WRITE " value=0", "magic of zero" },
	{ "magic-request", TX, "read", 1, "drop", "magic" READ,
	  "request magic in a reply" },
	{ "magic-swapped", TX, "read", 1, "drop", "magic" READ " value=0x98664467",
	  "reply magic in the wrong byte order" },
	{ "structured", TX, "read", 1, "drop", "structured" READ,
	  "structured reply, which was not negotiated" },
	{ "structured-write", TX, "write", 1, "drop", "structured" WRITE,
	  "structured reply to a write" },
	{ "garbage", TX, "read", 1, "drop", "garbage" READ " n=65536",
	  "random bytes in place of the reply" },
	{ "garbage-short", TX, "read", 1, "drop", "garbage" READ " n=16",
	  "16 random bytes in place of the reply" },
	{ "extra", TX, "read", 1, "drop", "extra" READ " n=100",
	  "garbage behind the payload" },
	{ "extra-one", TX, "write", 1, "drop", "extra" WRITE " n=1",
	  "one byte too much" },
	{ "extra-fin", TX, "read", 1, "drop", "extra" READ " n=10 then=fin",
	  "garbage behind the payload, then the end" },
	{ "too-much", TX, "read", 1, "drop", "extra" READ " n=1048576",
	  "a megabyte more than was asked for" },
	{ "write-payload", TX, "write", 1, "drop", "payload" WRITE " n=4096",
	  "a payload behind the reply to a write" },
	{ "error-payload", TX, "read", 1, "EIO", "errdata" READ " e=5",
	  "error reply to a read that carries the payload" },
	{ "oob", TX, "read", 1, "either", "oob" READ " at=8",
	  "out-of-band byte inside the reply" },
	{ "oob-payload", TX, "read", 1, "either", "oob" READ " at=100",
	  "out-of-band byte inside the payload" },
	{ "scm", TX, "read", 1, "either", "scm" READ " at=8",
	  "a file descriptor passed with the reply" },

	/* chunks, where structured replies were agreed on */
	{ "chunk-split", TX, "read", 1, "ok", "split n=7" READ, "a read in seven chunks" },
	{ "chunk-reverse", TX, "read", 1, "ok", "split n=40 order=reverse" READ,
	  "chunks from the end of a read" },
	{ "chunk-odd", TX, "read", 1, "ok", "split n=32 order=odd" READ,
	  "every other chunk first, as many as may be apart" },
	{ "chunk-scattered", TX, "read", 1, "drop", "split n=64 order=odd" READ,
	  "more chunks than may be apart" },
	{ "chunk-drip", TX, "read", 1, "ok", "split n=9 order=odd" READ "\ndrip" READ " n=1",
	  "chunks in pieces of one byte" },
	{ "chunk-interleave", TX, "reads", 1, "ok",
	  "split n=8 count=0" READ "\nreorder mode=interleave n=16 count=0 t=1" READ,
	  "chunks of many reads in turn" },
	{ "chunk-interleave-reverse", TX, "reads", 1, "ok", "split n=5 order=reverse count=0" READ
	  "\nreorder mode=interleave n=16 count=0 t=1" READ, "the same from their ends" },
	{ "chunk-reads-shuffled", TX, "reads", 1, "ok",
	  "split n=3 order=odd count=0" READ "\nreorder mode=shuffle n=16 count=64" READ,
	  "reads in random order, each in three chunks" },
	{ "chunk-write", TX, "write", 1, "ok", "structured" WRITE,
	  "a chunk without content answers a write" },
	{ "chunk-flush", TX, "flush", 1, "ok", "structured type=flush",
	  "a chunk without content answers a flush" },
	{ "chunk-error-first", TX, "read", 1, "ENOSPC",
	  "chunk kind=0x8001 data=0000001c0003 fill=3" READ "\npiece at=0 n=4096" READ
	  "\nchunk flags=1" READ, "an error, then data" },
	{ "chunk-error-last", TX, "read", 1, "EIO",
	  "piece at=0 n=512" READ "\nchunk kind=0x8001 flags=1 data=000000050000" READ,
	  "some data, then an error" },
	{ "chunk-error-twice", TX, "read", 1, "ENOSPC",
	  "chunk kind=0x8001 data=0000001c0000" READ
	  "\nchunk kind=0x8001 flags=1 data=000000050000" READ, "two errors: the first counts" },
	{ "chunk-error-zero", TX, "read", 1, "EIO",
	  "chunk kind=0x8001 flags=1 data=000000000000" READ, "an error with the number 0" },
	{ "chunk-error-text", TX, "read", 1, "EIO",
	  "chunk kind=0x8001 flags=1 data=000000051000 fill=4096" READ,
	  "an error with the longest text" },
	{ "chunk-error-where", TX, "read", 1, "EIO",
	  "chunk kind=0x8002 flags=1 data=0000000500020d0a0000000000100000" READ,
	  "an error that says where" },
	{ "chunk-error-unknown", TX, "read", 1, "EIO",
	  "chunk kind=0x80ff flags=1 data=000000050000 fill=300" READ,
	  "an error of an unknown type" },
	{ "chunk-error-write", TX, "write", 1, "ENOSPC",
	  "chunk kind=0x8001 flags=1 data=0000001c0000" WRITE, "an error in answer to a write" },
	{ "chunk-error-shutdown", TX, "read", 1, "drop",
	  "chunk kind=0x8001 flags=1 data=0000006c0000" READ, "shutting down, in a chunk" },
	{ "chunk-simple", TX, "read", 1, "drop", "simple" READ, "a simple reply to a read" },
	{ "chunk-simple-error", TX, "read", 1, "drop", "simple" READ "\nerr e=5" READ,
	  "a simple error reply to a read" },
	{ "chunk-before", TX, "read", 1, "drop",
	  "chunk kind=1 flags=1 data=00000000000fffff fill=512" READ,
	  "data from before the request" },
	{ "chunk-behind", TX, "read", 1, "drop", "piece at=1048576 n=512 flags=1" READ,
	  "data from behind the request" },
	{ "chunk-across", TX, "read", 1, "drop", "piece at=512 n=1048576 flags=1" READ,
	  "data that goes on behind the request" },
	{ "chunk-wraps", TX, "read", 1, "drop",
	  "chunk kind=1 flags=1 data=ffffffffffffff00 fill=512" READ,
	  "data at the end of 64 bits" },
	{ "chunk-high", TX, "read", 1, "drop",
	  "chunk kind=1 flags=1 data=0000000100100000 fill=512" READ,
	  "data 4 GiB behind the request" },
	{ "chunk-overlap", TX, "read", 1, "drop",
	  "piece at=0 n=1024" READ "\npiece at=1023 n=1" READ, "a byte that comes twice" },
	{ "chunk-twice", TX, "read", 1, "drop",
	  "piece at=512 n=512" READ "\npiece at=512 n=512" READ, "a chunk that comes twice" },
	{ "chunk-hole-overlap", TX, "read", 1, "drop", "piece at=0 n=1024" READ
	  "\nchunk kind=2 flags=1 data=000000000010000000001000" READ, "a hole where data was" },
	{ "chunk-data-8", TX, "read", 1, "drop", "chunk kind=1 data=0000000000100000" READ,
	  "data of no bytes" },
	{ "chunk-data-7", TX, "read", 1, "drop", "chunk kind=1 len=7" READ,
	  "data too short for its offset" },
	{ "chunk-data-4g", TX, "read", 1, "drop",
	  "chunk kind=1 len=0xffffffff data=0000000000100000" READ, "data of 4 GiB" },
	{ "chunk-hole-11", TX, "read", 1, "drop", "chunk kind=2 len=11" READ,
	  "a hole one byte short" },
	{ "chunk-hole-13", TX, "read", 1, "drop", "chunk kind=2 len=13" READ,
	  "a hole one byte long" },
	{ "chunk-hole-0", TX, "read", 1, "drop",
	  "chunk kind=2 data=000000000010000000000000" READ, "a hole of no bytes" },
	{ "chunk-hole-4g", TX, "read", 1, "drop",
	  "chunk kind=2 data=0000000000100000ffffffff" READ, "a hole of 4 GiB" },
	{ "chunk-hole-before", TX, "read", 1, "drop",
	  "chunk kind=2 data=00000000000fffff00000001" READ, "a hole before the request" },
	{ "chunk-none-more", TX, "read", 1, "drop", "chunk" READ,
	  "no content, and more to come" },
	{ "chunk-none-long", TX, "read", 1, "drop", "chunk flags=1 len=1" READ,
	  "no content, with a length" },
	{ "chunk-lacks-all", TX, "read", 1, "drop", "chunk flags=1" READ,
	  "the end, and nothing has come" },
	{ "chunk-lacks-end", TX, "read", 1, "drop", "piece at=0 n=512" READ "\nchunk flags=1" READ,
	  "the end, and the last bytes have not come" },
	{ "chunk-lacks-begin", TX, "read", 1, "drop", "piece at=512 n=512 flags=1" READ,
	  "the end, and the first bytes have not come" },
	{ "chunk-unknown", TX, "read", 1, "drop", "chunk kind=3 flags=1" READ,
	  "an unknown type" },
	{ "chunk-status", TX, "read", 1, "drop",
	  "chunk kind=5 flags=1 data=000000000000020000000000" READ,
	  "a block status, which nobody asked for" },
	{ "chunk-write-data", TX, "write", 1, "drop",
	  "chunk kind=1 flags=1 data=0000000000100000 fill=512" WRITE, "data for a write" },
	{ "chunk-write-hole", TX, "write", 1, "drop",
	  "chunk kind=2 flags=1 data=000000000010000000000200" WRITE, "a hole for a write" },
	{ "chunk-error-5", TX, "read", 1, "drop", "chunk kind=0x8001 flags=1 len=5" READ,
	  "an error too short for its number" },
	{ "chunk-error-4g", TX, "read", 1, "drop", "chunk kind=0x8001 flags=1 len=0xffffffff" READ,
	  "an error of 4 GiB" },
	{ "chunk-text-long", TX, "read", 1, "drop",
	  "chunk kind=0x8001 flags=1 data=00000005000441" READ,
	  "a text longer than its chunk" },
	{ "chunk-text-4097", TX, "read", 1, "drop",
	  "chunk kind=0x8001 flags=1 data=000000051001 fill=4097" READ,
	  "a text longer than any may be" },
	{ "chunk-where-13", TX, "read", 1, "drop", "chunk kind=0x8002 flags=1 len=13" READ,
	  "an error too short to say where" },
	{ "chunk-where-outside", TX, "read", 1, "drop",
	  "chunk kind=0x8002 flags=1 data=00000005000000000000000fffff" READ,
	  "an error somewhere else" },
	{ "chunk-after-end", TX, "read", 1, "drop",
	  "split n=2" READ "\nextra n=20 then=none" READ, "garbage behind the last chunk" },
	{ "chunk-dup", TX, "read", 1, "drop", "split n=2" READ "\ndup" READ,
	  "all chunks twice" },
	{ "chunk-alien", TX, "read", 1, "drop", "alien kind=generation" READ,
	  "a chunk for an older generation" },
	{ "chunk-unfinished", TX, "read", 1, "timeout", "piece at=0 n=512" READ,
	  "a reply that does not go on" },

	/* ownership */
	{ "alien-unused", TX, "read", 1, "drop", "alien kind=unused" READ,
	  "cookie with a tag that is not in use" },
	{ "alien-tag", TX, "read", 1, "drop", "alien kind=tag" READ,
	  "cookie with a tag out of range" },
	{ "alien-queue", TX, "read", 1, "drop", "alien kind=queue" READ,
	  "cookie with a queue out of range" },
	{ "alien-generation", TX, "read", 1, "drop", "alien kind=generation" READ,
	  "cookie of an older generation" },
	{ "alien-completed", TX, "read", 1, "drop", "alien kind=completed" READ,
	  "cookie of a completed request" },
	{ "alien-zero", TX, "write", 1, "drop", "alien kind=zero" WRITE, "cookie of zero" },
	{ "alien-ones", TX, "write", 1, "drop", "alien kind=ones" WRITE, "cookie of all ones" },
	{ "alien-added", TX, "read", 1, "drop", "alien kind=unused add=1" READ,
	  "a reply that nobody asked for, before the right one" },
	{ "alien-otherconn", TX, "read", 2, "drop",
	  "alien kind=otherconn" READ, "cookie of another connection's request" },
	{ "misdirect", TX, "read", 2, "drop", "misdirect" READ,
	  "reply on another connection" },
	{ "misdirect-write", TX, "write", 2, "drop", "misdirect" WRITE,
	  "reply of a write on another connection" },
	{ "dup", TX, "read", 1, "drop", "dup" READ, "reply sent twice" },
	{ "dup-write", TX, "write", 1, "drop", "dup" WRITE, "reply of a write sent twice" },
	{ "dup-many", TX, "read", 1, "drop", "dup n=100" READ, "reply sent a hundred times" },
	{ "early", TX, "write", 1, "either", "early minlen=65536" WRITE,
	  "a write is answered before its payload came" },
	{ "early-stall", TX, "write", 1, "either", "early minlen=65536 then=stall" WRITE,
	  "answered early, then the server stops reading" },
	{ "early-fin", TX, "write", 1, "either", "early minlen=65536 then=fin" WRITE,
	  "answered early, then the connection is closed" },
	{ "early-rst", TX, "write", 1, "either", "early minlen=65536 then=rst" WRITE,
	  "answered early, then the connection is reset" },
	{ "unsent", TX, "write", 1, "drop", "early minlen=65536 then=stall" WRITE,
	  "a write is answered that is not sent to its end" },
	{ "idle-reply", TX, "idle", 1, "drop", "inject reply=1 cookie=0x100000001",
	  "a reply on an idle connection" },
	{ "idle-byte", TX, "idle", 1, "drop", "inject data=00",
	  "one byte on an idle connection" },
	{ "idle-garbage", TX, "idle", 1, "drop",
	  "inject data=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
	  "garbage on an idle connection" },
	{ "idle-fin", TX, "idle", 1, "drop", "kill all how=fin", "idle connections closed" },
	{ "idle-rst", TX, "idle", 1, "drop", "kill all how=rst", "idle connections reset" },

	/* endings */
	{ "fin-request", TX, "read", 1, "drop", "end how=fin" READ,
	  "closed when the request came" },
	{ "rst-request", TX, "read", 1, "drop", "end how=rst" READ,
	  "reset when the request came" },
	{ "half-close", TX, "read", 1, "drop", "end how=half_close" READ,
	  "closed for writing when the request came, requests still read" },
	{ "fin-write-header", TX, "write", 1, "drop", "end how=fin" WRITE,
	  "closed inside a write's payload" },
	{ "rst-write-header", TX, "write", 1, "drop", "end how=rst" WRITE,
	  "reset inside a write's payload" },
	{ "rst-write-payload", TX, "write", 1, "drop", "end how=rst at=payload" WRITE,
	  "reset after a write's payload" },
	{ "fin-reply", TX, "read", 1, "drop", "end how=fin at=reply" READ,
	  "closed after the reply" },
	{ "rst-reply", TX, "read", 1, "drop", "end how=rst at=reply" READ,
	  "reset after the reply" },

	/* silence: only a timeout can tell */
	{ "never", TX, "read", 1, "timeout", "never" READ, "one request is never answered" },
	{ "never-write", TX, "write", 1, "timeout", "never" WRITE,
	  "one write is never answered" },
	{ "never-flush", TX, "flush", 1, "timeout", "never type=flush",
	  "one flush is never answered" },
	{ "noread", TX, "write", 1, "timeout", "noread" WRITE,
	  "the server stops reading inside a write" },
	{ "half-header", TX, "read", 1, "timeout", "cut at=8 then=stall" READ,
	  "half a reply header, then nothing" },
	{ "half-data", TX, "read", 1, "timeout", "cut at=116 then=stall" READ,
	  "part of the payload, then nothing" },
	{ "header-only", TX, "read", 1, "timeout", "cut at=16 then=stall" READ,
	  "the header of the reply, then nothing" },

	/* poison */
	{ "poison", TX, "read", 1, "EIO", "end how=rst count=0" READ,
	  "every connection that carries this request is reset" },
	{ "mute-read", TX, "read", 1, "EIO", "never" READ " count=0",
	  "this read is never answered, all others are" },
	{ "mute-write", TX, "write", 1, "EIO", "never" WRITE " count=0",
	  "this write is never answered, all others are" },
	{ "mute-stall", TX, "read", 1, "EIO", "cut at=0 then=stall count=0" READ,
	  "this read stops each connection that it comes on" },
	{ "mute-half", TX, "read", 1, "EIO", "cut at=116 then=stall count=0" READ,
	  "this read is answered in part, and stops each connection that it comes on" },

	/* handshake: greeting */
	{ "hs-silent", HS, "attach", 1, "refuse", "hs.cut at=0 then=stall", "no greeting at all" },
	{ "hs-fin", HS, "attach", 1, "refuse", "hs.cut at=0 then=fin", "closed at once" },
	{ "hs-rst", HS, "attach", 1, "refuse", "hs.cut at=0 then=rst", "reset at once" },
	{ "hs-drip", HS, "attach", 1, "ok", "hs.drip n=1 t=1ms", "one byte at a time" },
	{ "hs-http", HS, "attach", 1, "protocol",
	  "hs.greeting text=\"HTTP/1.1 400 Bad Request\\r\\nConnection: close\\r\\n\\r\\n\"",
	  "a web server" },
	{ "hs-ssh", HS, "attach", 1, "protocol", "hs.greeting text=\"SSH-2.0-OpenSSH_9.2\\r\\n\"",
	  "an SSH server" },
	{ "hs-text", HS, "attach", 1, "protocol",
	  "hs.greeting text=\"\\e[2J\\e]0;owned\\x07\\x00\\xff\\xfe and so on and on\"",
	  "a greeting of terminal control sequences" },
	{ "hs-magic", HS, "attach", 1, "protocol", "hs.greeting magic=0x4e42444d41474944",
	  "wrong first magic" },
	{ "hs-version", HS, "attach", 1, "protocol", "hs.greeting version=0x49484156454f5055",
	  "wrong second magic" },
	{ "hs-oldstyle", HS, "attach", 1, "refuse", "hs.greeting version=0x0000420281861253",
	  "oldstyle negotiation" },
	{ "hs-newstyle", HS, "attach", 1, "either", "hs.greeting flags=0\nexport go=off",
	  "newstyle, but not fixed" },
	{ "hs-flags", HS, "attach", 1, "either", "hs.greeting flags=0xffff",
	  "every handshake flag set" },

	/* handshake: shape of the replies */
	{ "hs-rep-magic", HS, "attach", 1, "protocol",
	  "hs.reply opt=go place=before type=3 data=0009 magic=0x3e889045565a8",
	  "wrong magic of an option reply" },
	{ "hs-rep-option", HS, "attach", 1, "protocol",
	  "hs.reply opt=go place=before type=3 data=0009 echo=6", "reply to another option" },
	{ "hs-rep-type", HS, "attach", 1, "protocol", "hs.reply opt=go type=99",
	  "reply of an unknown type" },
	{ "hs-rep-server", HS, "attach", 1, "protocol",
	  "hs.reply opt=go place=before type=2 data=0000000161", "an export name in answer to GO" },
	{ "hs-rep-err", HS, "attach", 1, "protocol", "hs.reply opt=go type=0x80012345",
	  "error of an unknown kind" },
	{ "hs-rep-err-max", HS, "attach", 1, "protocol", "hs.reply opt=go type=0xffffffff",
	  "error of the largest number" },
	{ "hs-len-4g", HS, "attach", 1, "protocol",
	  "hs.reply opt=go place=before type=3 len=0xffffffff flood=1",
	  "an information of 4 GiB" },
	{ "hs-len-2g", HS, "attach", 1, "protocol",
	  "hs.reply opt=go place=before type=3 len=0x80000000 flood=1",
	  "an information of 2 GiB" },
	/* a server that hangs up may be one that does not know GO: the client asks otherwise */
	{ "hs-len-more", HS, "attach", 1, "either",
	  "hs.reply opt=go place=before type=3 len=100 text=\"\\x00\\x00short\" then=fin",
	  "an information shorter than told, then the end" },
	{ "hs-len-stall", HS, "attach", 1, "refuse",
	  "hs.reply opt=go place=before type=3 len=100 text=\"\\x00\\x00short\" then=stall",
	  "an information shorter than told, then silence" },
	{ "hs-len-less", HS, "attach", 1, "protocol",
	  "hs.reply opt=go place=before type=3 len=2 data=0000ffffffffffffffff",
	  "an information longer than told" },
	{ "hs-ack-data", HS, "attach", 1, "either",
	  "hs.reply opt=go type=3 data=000000000000040000000101\nhs.reply opt=go type=1 text=surplus",
	  "an ACK with data" },
	{ "hs-ack-only", HS, "attach", 1, "protocol", "hs.info noexport=1",
	  "acknowledged without size and flags" },
	{ "hs-ignore", HS, "attach", 1, "refuse", "hs.ignore opt=go\nhs.ignore opt=export_name",
	  "no answer to the option" },
	{ "hs-endless", HS, "attach", 1, "protocol",
	  "hs.reply opt=go place=before type=3 data=00097878 repeat=0",
	  "unknown infos without end" },
	{ "hs-many", HS, "attach", 1, "either",
	  "hs.reply opt=go place=before type=3 data=00097878 repeat=100",
	  "a hundred unknown infos" },
	{ "hs-unknown-info", HS, "attach", 1, "ok",
	  "hs.reply opt=go place=before type=3 data=ffff0102030405",
	  "an unknown information" },
	{ "hs-info-empty", HS, "attach", 1, "protocol", "hs.reply opt=go place=before type=3",
	  "an information without a type" },
	{ "hs-info-one", HS, "attach", 1, "protocol", "hs.reply opt=go place=before type=3 data=00",
	  "an information of one byte" },
	{ "hs-export-short", HS, "attach", 1, "protocol",
	  "hs.reply opt=go place=before type=3 data=0000000000000400000001",
	  "size and flags one byte short" },
	{ "hs-export-long", HS, "attach", 1, "protocol",
	  "hs.reply opt=go place=before type=3 data=00000000000004000000010101",
	  "size and flags one byte long" },
	{ "hs-export-twice", HS, "attach", 1, "either",
	  "hs.reply opt=go place=before type=3 data=000000000000080000000101",
	  "two sizes that contradict each other" },
	{ "hs-block-short", HS, "attach", 1, "protocol",
	  "hs.reply opt=go place=before type=3 data=00030000020000001000020000",
	  "block sizes one byte short" },
	{ "hs-block-long", HS, "attach", 1, "protocol",
	  "hs.reply opt=go place=before type=3 data=000300000200000010000200000000",
	  "block sizes one byte long" },
	{ "hs-after-ack", HS, "attach", 1, "either",
	  "hs.reply opt=go place=after type=3 data=0009", "a reply after the last one" },

	/* handshake: refusals that must be told */
	{ "hs-unsup", HS, "attach", 1, "ok", "hs.reply opt=go type=0x80000001",
	  "GO is unknown: the client falls back to EXPORT_NAME" },
	{ "hs-unsup-text", HS, "attach", 1, "ok",
	  "hs.reply opt=go type=0x80000001 text=\"never heard of it\"",
	  "the same with a message" },
	{ "hs-policy", HS, "attach", 1, "refuse",
	  "hs.reply opt=any type=0x80000002 text=\"not for you\"", "refused by policy" },
	{ "hs-invalid", HS, "attach", 1, "refuse", "hs.reply opt=any type=0x80000003",
	  "the option is called malformed" },
	{ "hs-platform", HS, "attach", 1, "refuse", "hs.reply opt=any type=0x80000004",
	  "not on this platform" },
	{ "hs-tls", HS, "attach", 1, "refuse", "hs.reply opt=any type=0x80000005",
	  "TLS is required" },
	{ "hs-unknown", HS, "attach", 1, "refuse", "hs.reply opt=any type=0x80000006",
	  "no such export" },
	{ "hs-shutdown", HS, "attach", 1, "refuse", "hs.reply opt=any type=0x80000007",
	  "the server is being shut down" },
	{ "hs-block-size", HS, "attach", 1, "refuse", "hs.reply opt=any type=0x80000008",
	  "block size information must be asked for" },
	{ "hs-too-big", HS, "attach", 1, "refuse", "hs.reply opt=any type=0x80000009",
	  "the option is too big" },
	{ "hs-err-control", HS, "attach", 1, "refuse",
	  "hs.reply opt=any type=0x80000002 text=\"no\\e[31m\\x07\\r\\n\\x00\\x80\\xff%s%n\"",
	  "error message of control characters" },
	{ "hs-err-4g", HS, "attach", 1, "protocol",
	  "hs.reply opt=any type=0x80000002 len=0xffffffff flood=1", "error message of 4 GiB" },
	{ "hs-err-64k", HS, "attach", 1, "protocol",
	  "hs.reply opt=any type=0x80000002 fill=65536", "error message of 64 KiB" },
	{ "hs-err-cut", HS, "attach", 1, "refuse",
	  "hs.reply opt=any type=0x80000002 len=50 text=abc then=fin",
	  "error message cut off" },

	/* handshake: what is told about the export */
	{ "hs-size-0", HS, "attach", 1, "unfit", "hs.info size=0", "size of zero" },
	{ "hs-size-1", HS, "attach", 1, "unfit", "hs.info size=1", "size of one byte" },
	{ "hs-size-511", HS, "attach", 1, "unfit", "hs.info size=511", "less than a sector" },
	{ "hs-size-513", HS, "attach", 1, "ok", "hs.info size=1048577",
	  "not a multiple of the sector" },
	{ "hs-size-2p63", HS, "attach", 1, "unfit", "hs.info size=0x8000000000000000",
	  "size of 2^63" },
	{ "hs-size-max", HS, "attach", 1, "unfit", "hs.info size=0xffffffffffffffff",
	  "size of 2^64-1" },
	{ "hs-size-2p63-1", HS, "attach", 1, "either", "hs.info size=0x7fffffffffffffff",
	  "size of 2^63-1" },
	{ "hs-size-8e", HS, "attach", 1, "either", "hs.info size=0x7ffffffffffffe00",
	  "the largest size in sectors" },
	{ "hs-size-block", HS, "attach", 1, "ok",
	  "hs.info size=0x3fffe00 min=4096 pref=4096 max=33554432",
	  "size not a multiple of the block" },
	{ "hs-min-0", HS, "attach", 1, "protocol", "hs.info min=0 pref=4096 max=33554432",
	  "minimum block of zero" },
	{ "hs-min-3", HS, "attach", 1, "protocol", "hs.info min=3 pref=4096 max=33554432",
	  "minimum block not a power of two" },
	{ "hs-min-1", HS, "attach", 1, "ok", "hs.info min=1 pref=4096 max=33554432",
	  "minimum block of one byte" },
	{ "hs-min-64k", HS, "attach", 1, "either", "hs.info min=65536 pref=65536 max=33554432",
	  "minimum block larger than a page" },
	{ "hs-min-128k", HS, "attach", 1, "protocol",
	  "hs.info min=131072 pref=131072 max=33554432",
	  "minimum block larger than the protocol allows" },
	{ "hs-min-max", HS, "attach", 1, "protocol",
	  "hs.info min=0xffffffff pref=0xffffffff max=0xffffffff",
	  "all block sizes as large as can be" },
	{ "hs-blocks-0", HS, "attach", 1, "protocol", "hs.info min=0 pref=0 max=0",
	  "all block sizes zero" },
	{ "hs-pref-less", HS, "attach", 1, "protocol", "hs.info min=4096 pref=512 max=33554432",
	  "preferred block below the minimum" },
	{ "hs-pref-odd", HS, "attach", 1, "protocol", "hs.info min=512 pref=5000 max=33554432",
	  "preferred block not a power of two" },
	{ "hs-max-less", HS, "attach", 1, "protocol", "hs.info min=4096 pref=4096 max=512",
	  "maximum below the minimum" },
	{ "hs-max-odd", HS, "attach", 1, "protocol", "hs.info min=4096 pref=4096 max=33554433",
	  "maximum not a multiple of the minimum" },
	{ "hs-max-1", HS, "attach", 1, "unfit", "hs.info min=1 pref=1 max=1",
	  "all block sizes one byte" },
	{ "hs-max-min", HS, "attach", 1, "ok", "hs.info min=4096 pref=4096 max=4096",
	  "all block sizes a page" },
	{ "hs-flags-0", HS, "attach", 1, "either", "hs.info flags=0",
	  "no transmission flag, not even HAS_FLAGS" },
	{ "hs-flags-all", HS, "attach", 1, "readonly", "hs.info flags=0xffff",
	  "every transmission flag" },
	{ "hs-flags-unknown", HS, "attach", 1, "ok", "hs.info flags=0xfe01",
	  "unknown transmission flags" },
	{ "hs-flags-fua", HS, "attach", 1, "ok", "hs.info flags=0x9",
	  "FUA without FLUSH" },
	{ "hs-flags-ro", HS, "attach", 1, "readonly", "hs.info flags=0x3", "read-only" },
	{ "hs-flags-ro-trim", HS, "attach", 1, "readonly", "hs.info flags=0x63",
	  "read-only, but TRIM and WRITE_ZEROES" },

	/* handshake: the second connection is not like the first */
	{ "hs-second-size", HS, "attach", 2, "unfit", "hs.info conn=2 size=1048576",
	  "the second connection has another size" },
	{ "hs-second-flags", HS, "attach", 2, "unfit", "hs.info conn=2 flags=0x101",
	  "the second connection lacks features" },
	{ "hs-second-ro", HS, "attach", 2, "unfit", "hs.info conn=2 flags=0x16f",
	  "the second connection is read-only" },
	{ "hs-second-silent", HS, "attach", 2, "refuse", "hs.cut conn=2 at=0 then=stall",
	  "the second connection gets no greeting" },
	{ "hs-second-fin", HS, "attach", 2, "either", "hs.cut conn=2 at=30 then=fin",
	  "the second connection is closed" },
	{ "hs-second-unknown", HS, "attach", 2, "refuse",
	  "hs.reply conn=2 opt=any type=0x80000006",
	  "the second connection is told that there is no such export" },

	/* handshake: EXPORT_NAME */
	{ "hs-name", HS, "attach", 1, "ok", "export go=off", "only EXPORT_NAME" },
	{ "hs-name-zeroes", HS, "attach", 1, "ok", "export go=off\nhs.greeting flags=1",
	  "only EXPORT_NAME, with the padding" },
	{ "hs-name-short-zeroes", HS, "attach", 1, "refuse",
	  "export go=off\nhs.greeting flags=1\nhs.zeroes n=123\nhs.cut at=179 then=fin",
	  "the padding is one byte short" },
	{ "hs-name-unasked-zeroes", HS, "attach", 1, "either", "export go=off\nhs.zeroes n=124",
	  "padding although it was declined: the transmission starts with garbage" },
	{ "hs-name-fin", HS, "attach", 1, "refuse",
	  "export go=off name=other",
	  "an unknown name: the server closes, as it must" },
	{ "hs-name-size-0", HS, "attach", 1, "unfit", "export go=off\nhs.info size=0",
	  "EXPORT_NAME with size zero" },
	{ "hs-name-size-max", HS, "attach", 1, "unfit",
	  "export go=off\nhs.info size=0xffffffffffffffff", "EXPORT_NAME with size 2^64-1" },

	/* handshake: the list */
	{ "hs-list", HS, "list", 1, "ok", "export name=one", "an honest list" },
	{ "hs-list-control", HS, "list", 1, "either",
	  "hs.reply opt=list place=before type=2 text=\"\\x00\\x00\\x00\\x0ba\\e[31mb\\r\\n\\x07c\\x7f\"",
	  "export name of control characters" },
	{ "hs-list-nul", HS, "list", 1, "either",
	  "hs.reply opt=list place=before type=2 data=0000000361006200",
	  "export name with a NUL" },
	{ "hs-list-utf8", HS, "list", 1, "either",
	  "hs.reply opt=list place=before type=2 data=00000004c0af80ff",
	  "export name that is not UTF-8" },
	{ "hs-list-len", HS, "list", 1, "protocol",
	  "hs.reply opt=list place=before type=2 data=0000ffff61",
	  "export name longer than its reply" },
	{ "hs-list-len-max", HS, "list", 1, "protocol",
	  "hs.reply opt=list place=before type=2 data=ffffffff61",
	  "export name of 4 GiB inside a short reply" },
	{ "hs-list-short", HS, "list", 1, "protocol",
	  "hs.reply opt=list place=before type=2 data=0000", "entry too short for its length" },
	{ "hs-list-4g", HS, "list", 1, "protocol",
	  "hs.reply opt=list place=before type=2 len=0xffffffff flood=1", "entry of 4 GiB" },
	{ "hs-list-endless", HS, "list", 1, "protocol",
	  "hs.reply opt=list place=before type=2 data=0000000161 repeat=0",
	  "a list without end" },
	{ "hs-list-long", HS, "list", 1, "ok",
	  "hs.reply opt=list place=before type=2 data=0000000161 repeat=2000",
	  "a list of two thousand names" },
	{ "hs-list-policy", HS, "list", 1, "refuse", "hs.reply opt=list type=0x80000002",
	  "listing is refused" },
	{ "hs-list-info", HS, "list", 1, "protocol",
	  "hs.reply opt=list place=before type=3 data=0000", "an information in a list" },
};

#define N_FIXED		ARRAY_SIZE(fixed)

/* The families: one scenario for each byte, bit or error number. */
static struct scenario *made;
static size_t n_made;

static __printf(1, 2) char *text(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		err(1, "scenario");
	va_end(ap);
	return s;
}

static void make(struct scenario scenario)
{
	made = realloc(made, (n_made + 1) * sizeof(*made));
	if (!made)
		err(1, "scenario");
	made[n_made++] = scenario;
}

/* Both ways to end a connection after @at bytes of a reply; @request says of which one. */
static void make_cuts(const char *family, unsigned int at, const char *request)
{
	static const char *const ways[] = { "fin", "rst" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ways); i++)
		make((struct scenario) {
			text("%s-%s-at-%u", family, ways[i], at), TX, "read", 1, "drop",
			text("cut at=%u then=%s" READ, at, ways[i]),
			text("%s after %u bytes of the reply%s", ways[i], at, request),
		});
}

static void make_reply_cuts(void)
{
	static const unsigned int in_payload[] = { 17, 20, 511, 528, 1024, 4095, 4111 };
	size_t i;

	for (i = 0; i <= sizeof(struct { char header[16]; }); i++)
		make_cuts("reply", i, "");
	for (i = 0; i < ARRAY_SIZE(in_payload); i++)
		make_cuts("reply", in_payload[i], "");
}

/* A small read, for each of its reply's bytes. */
static void make_small_cuts(void)
{
	unsigned int at;

	for (at = 0; at < 16 + SMALL_READ; at++)
		make_cuts("cut", at, " to a small read");
}

/* In and between the chunks of a read: after each header's bytes, and in the data. */
static void make_chunk_cuts(void)
{
	static const unsigned int at[] = {
		0, 1, 15, 16, 17, 19, 20, 21, 27, 28, 29, 539, 540, 541, 556, 560, 568, 569, 4000,
	};
	static const char *const ways[] = { "fin", "rst" };
	size_t i, w;

	for (i = 0; i < ARRAY_SIZE(at); i++)
		for (w = 0; w < ARRAY_SIZE(ways); w++)
			make((struct scenario) {
				text("chunk-%s-at-%u", ways[w], at[i]), TX, "read", 1, "drop",
				text("split n=8 order=odd" READ "\ncut at=%u then=%s" READ, at[i],
				     ways[w]),
				text("%s after %u bytes of a reply in chunks", ways[w], at[i]),
			});
}

static void make_alien_bits(void)
{
	unsigned int bit;

	for (bit = 0; bit < 64; bit++)
		make((struct scenario) {
			text("alien-bit-%u", bit), TX, "read", 1, "drop",
			text("alien kind=bit bit=%u" READ, bit),
			text("cookie with bit %u changed", bit),
		});
}

static void make_error(unsigned int number, const char *outcome, const char *io)
{
	make((struct scenario) {
		text("error-%u-%s", number, io), TX, io, 1, outcome,
		text("err e=%u type=%s%s", number, io, strcmp(io, "flush") ? AT_TARGET : ""),
		text("error %u to a %s", number, io),
	});
}

static void make_errors(void)
{
	/* What an application sees of them is what the block layer can express. */
	static const struct {
		unsigned int number;
		const char *outcome;
	} errors[] = {
		{ 1, "EIO" }, { 5, "EIO" }, { 12, "ENOMEM" }, { 22, "EINVAL" },
		{ 28, "ENOSPC" }, { 75, "EIO" }, { 95, "EOPNOTSUPP" },
		/* another connection, or a new one, gets the request */
		{ 108, "drop" },
		{ 2, "EIO" }, { 0x7fffffff, "EIO" }, { 0xffffffff, "EIO" },
	};
	static const char *const types[] = { "read", "write", "flush", "trim", "zeroes" };
	size_t i, t;

	for (i = 0; i < ARRAY_SIZE(errors); i++)
		for (t = 0; t < ARRAY_SIZE(types); t++)
			make_error(errors[i].number, errors[i].outcome, types[t]);
}

/*
 * An honest handshake has 18 + 34 + 32 + 20 bytes: it does not know structured replies, and
 * then GO. A server that hangs up on that may be
 * one that does not know it: a client may ask with EXPORT_NAME on a second connection, and
 * has its answer after 18 + 10 bytes.
 */
static void make_handshake_cuts(void)
{
	static const char *const hows[] = { "fin", "rst", "stall" };
	unsigned int at, how;

	for (at = 1; at < 18 + 34 + 32 + 20; at++)
		for (how = 0; how < 3; how++)
			make((struct scenario) {
				text("hs-%s-at-%u", hows[how], at), HS, "attach", 1,
				at >= 18 + 10 && how < 2 ? "either" : "refuse",
				text("hs.cut at=%u then=%s", at, hows[how]),
				text("%s after %u bytes of the handshake", hows[how], at),
			});
}

static void make_all(void)
{
	if (made)
		return;
	make_reply_cuts();
	make_small_cuts();
	make_chunk_cuts();
	make_alien_bits();
	make_errors();
	make_handshake_cuts();
}

static const struct scenario *scenario_nth(size_t i)
{
	make_all();
	if (i < N_FIXED)
		return &fixed[i];
	return i - N_FIXED < n_made ? &made[i - N_FIXED] : NULL;
}

static const struct scenario *find(const char *name)
{
	const struct scenario *scenario;
	size_t i;

	for (i = 0; (scenario = scenario_nth(i)); i++)
		if (!strcmp(scenario->name, name))
			return scenario;
	return NULL;
}

static unsigned int provoking_length(const struct scenario *s)
{
	static const struct {
		const char *prefix;
		unsigned int length;
	} others[] = {
		/* a byte at a time must not exceed the request timeout */
		{ "drip-", SMALL_READ },
		{ "chunk-drip", SMALL_READ },
		{ "cut-", SMALL_READ },
		/* more than a socket takes of what is not read */
		{ "unsent", 512U << 10 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(others); i++)
		if (!strncmp(s->name, others[i].prefix, strlen(others[i].prefix)))
			return others[i].length;
	return PROVOKING_LENGTH;
}

void scenario_list(FILE *out, const char *phase)
{
	const struct scenario *s;
	size_t i;

	for (i = 0; (s = scenario_nth(i)); i++)
		if (!phase || !strcmp(phase, s->phase))
			fprintf(out, "%s\t%s\t%s\t%d\t%s\t%u\t%s\n", s->name, s->phase, s->io,
				s->conns, s->outcome, provoking_length(s), s->text);
}

bool scenario_print(FILE *out, const char *name)
{
	const struct scenario *scenario = find(name);

	if (!scenario)
		return false;
	fprintf(out, "%s\n", scenario->commands);
	return true;
}

bool scenario_apply(const char *name)
{
	const struct scenario *scenario = find(name);
	char *copy, *rest, *line;
	char error[256];

	if (!scenario)
		return false;
	copy = text("%s", scenario->commands);
	rest = copy;
	while ((line = strsep(&rest, "\n")))
		if (!control_run(line, stdout, error, sizeof(error)))
			errx(1, "scenario %s: %s: %s", name, line, error);
	free(copy);
	return true;
}
