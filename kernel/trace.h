/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints nbd:*, with mainline's names and fields so that existing scripts work.
 *
 * nbd_send_request	a request is dispatched
 * nbd_header_sent	its header is in the socket
 * nbd_payload_sent	its WRITE payload is in the socket
 * nbd_header_received	a valid reply header has come for it
 * nbd_payload_received	its READ payload is complete
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM nbd

#if !defined(_NBD_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _NBD_TRACE_H

#include <linux/tracepoint.h>

struct nbd_request;
struct request;

DECLARE_EVENT_CLASS(nbd_transport_event,
	TP_PROTO(struct request *req, u64 handle),
	TP_ARGS(req, handle),
	TP_STRUCT__entry(
		__field(struct request *, req)
		__field(u64, handle)
	),
	TP_fast_assign(
		__entry->req = req;
		__entry->handle = handle;
	),
	TP_printk("nbd transport event: request %p, handle 0x%016llx",
		  __entry->req, __entry->handle)
);

#define NBD_TRANSPORT_EVENT(name)				\
	DEFINE_EVENT(nbd_transport_event, name,			\
		     TP_PROTO(struct request *req, u64 handle),	\
		     TP_ARGS(req, handle))

NBD_TRANSPORT_EVENT(nbd_header_sent);
NBD_TRANSPORT_EVENT(nbd_payload_sent);
NBD_TRANSPORT_EVENT(nbd_header_received);
NBD_TRANSPORT_EVENT(nbd_payload_received);

TRACE_EVENT(nbd_send_request,
	TP_PROTO(struct nbd_request *nbd_request, int index, struct request *rq),
	TP_ARGS(nbd_request, index, rq),
	TP_STRUCT__entry(
		__field(struct nbd_request *, nbd_request)
		__field(u64, dev_index)
		__field(struct request *, request)
	),
	TP_fast_assign(
		__entry->nbd_request = nbd_request;
		__entry->dev_index = index;
		__entry->request = rq;
	),
	TP_printk("nbd%lld: request %p", __entry->dev_index, __entry->request)
);

#endif /* _NBD_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
