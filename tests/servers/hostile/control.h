/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control socket: one command a line, answered by any number of lines and
 * then "ok", or "error: what". Besides the rules of rules.h and handshake.h:
 *
 *	clear			remove all rules
 *	rules			print them, with how often they matched and struck
 *	scenario NAME		add the rules of a scenario
 *	stats [reset]		counters (stats.h), or zero them
 *	get NAME		one counter
 *	wait NAME>=N [timeout=T]  until the counter is that (also <=, ==); 10 s
 *	log path=P [crc=1]	log every message to P, with WRITE payloads' CRC32C
 *	log off
 *	conns			the connections
 *	kill conn=N|all [how=rst|fin|half_close]  end connections; conn is the ordinal in
 *				the transmission phase, all means those in the handshake too
 *	pause [conn=N], resume [conn=N]  stop and go on reading (and sending, after a stall)
 *	release [conn=N]	answer what hold and never keep back
 *	inject [conn=N] data=HEX  send bytes out of turn; on the newest connection by default
 *	inject [conn=N] reply=1 [cookie=N] [error=N] [magic=N] [payload=N]
 *	accept on|off		off: connections are left in the backlog
 *	listen on|off		off: connections are refused
 *	power-loss		lose what was not flushed and reset all connections
 *	export [size=N] [flags=LIST] [name=T] [min=N] [pref=N] [max=N] [go=on|off]
 *		[structured=on|off]
 *	limits [min=N] [max=N] [trim=N]  enforced, EINVAL
 *	disc normal|deaf|talk	what DISC does
 *	pattern on|off		check WRITE payload
 *	search data=HEX		how often that stands in the image
 *	crc from=N len=N	CRC32C of a range of the image
 *	fill from=N len=N byte=N  write to the image
 *	save path=P		copy of the image
 *	ping, quit
 */
#ifndef NBD_TEST_CONTROL_H
#define NBD_TEST_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Serve the control socket at @path. Ends the program if it cannot. */
void control_open(const char *path);

/* Run one command; output goes to @out. False with a message in @error. */
bool control_run(const char *line, FILE *out, char *error, size_t size);

/* Send @commands to the server at @path, print what it says. Exit status. */
int control_client(const char *path, char **commands);

#endif /* NBD_TEST_CONTROL_H */
