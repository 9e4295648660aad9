// Package api is the data API of a node over NATS: the micro service that
// serves it and the client that speaks to it, from one definition of every verb.
//
// A verb is asked on <prefix>.<bucket>.api.<node>.<verb>. Status, verify, sync
// and collect of all buckets, settings, bucketset, and what concerns members, name the bucket _fleet. The verbs get, put, del, ls and
// status are also served on <prefix>.<bucket>.api.any.<verb>, by any one node;
// a request to any has to fit one message. With the header Replicator-After and tokens
// a read waits until the node has seen them.
//
//	get     body: the key             reply: the value; who wrote it, and its Content-Type, in headers
//	del     body: the key             reply: {"v":1,"node","origin","seq","hlc","timestamp"}
//	put     body: a record, "create"  reply: as del
//	create  body: as put              reply: as del; [ErrExists] if the node has a row
//	update  body: a record, "if_local"
//	                                  reply: as del; [ErrRevision] if the node has another row
//	mget    body: {"key"} a line      reply: {"v":1,"node","asked"} and records, one a line; keys
//	                                  without a row are left out. Go on behind so many as asked
//	delprefix
//	        body: {"prefix","after","limit"}
//	                                  reply: {"v":1,"node","deleted","last"}; go on behind last
//	batch   body: {"v":1,"create"} and records, one a line, of which all are written or none
//	                                  reply: {"v":1,"node","origin","first","last","written"}
//	reached body: tokens, with commas reply: {"v":1,"node"}; once they are on the node's disk
//	held    body: {"v":1,"tokens","wait"}: tokens with commas; wait is all, 2, 50% or a,b, as [ParseQuorum] takes it
//	                                  reply: {"v":1,"node","enough","reached":[nodes],"missing":{node: why}};
//	                                  the node asks the others. Enough is false if they have it not in time
//	load    body: {"v":1,"create","skip_unchanged"} and records, one a line
//	                                  reply: {"v":1,"node","written","unchanged","errors":[...]}
//	ls      body: {"prefix","start","end","after","limit","reverse","values","full"} or nothing
//	                                  reply: {"v":1,"node","more"} and records, one a line
//	watch   body: {"prefix","from_start","resume","marks","puts_only","meta_only"}
//	                                  a stream of records, and of {"mark":{"token","caught_up"}}
//	sync    body: nothing             a stream of progress, then done
//	status  body: nothing             reply: a [Status]
//	verify  body: nothing, or {"v":1,"deep","repair","sums","parts"}
//	                                  reply: {"v":1,"node","joins","buckets":[BucketDigest]}
//	leave   body: {"now"}             reply: {"v":1,"node","member"}, after which the node ends
//	forget  body: {"node","force"}    reply: {"v":1,"node","member"}
//	readmit body: {"node"}            reply: as forget
//	collect body: {"older_than_ms"}   reply: {"v":1,"node","buckets":[{"bucket","rows"}]}
//	bucketinfo
//	        body: nothing             reply: {"v":1,"node"}, a [BucketStatus] and "settings"
//	bucketcreate
//	        body: nothing             reply: {"v":1,"node","bucket"}; the node holds it
//	bucketleave
//	        body: {"now"}             reply: as bucketcreate; the node holds it no more
//	settings
//	        body: nothing             reply: {"v":1,"node","settings":{pattern: [BucketSettings]}}
//	bucketset
//	        body: {"buckets","settings"}
//	                                  reply: as settings; they replace what the pattern had
//	reconcile
//	        body: {"v":1,"accept":true,"removes","empties"}: what was seen of a [Doubt]
//	                                  reply: {"v":1,"node","bucket"} and the [Doubt]
//	conflicts
//	        body: nothing, or a revision
//	                                  reply: {"v":1,"node"} and writes that lost, one a line
//	take    body: a revision          reply: as del
//
// A record is one line of JSON, the same as in the files of import and export:
// {"key","value","type"}, or key_b64 and value_b64 where bytes are not UTF-8. In the
// requests of ls and watch prefix_b64 and after_b64 do the same. Pages of ls
// are at most 256 KiB, or one record; while "more" is true the client asks for
// what comes after the last key. Each page is read from its own snapshot.
//
// An error is a reply with the headers of a micro service error, whose body is
// {"v":1,"error":{"code","status","text"}}. Codes are stable; see [Error].
//
// Every body too large for one message, and every body that begins with 0x02,
// travels in the frames of package bus, in both directions.
//
// A stream is numbered, says something every few seconds, and lives on a lease:
// its client names it in {"renew":id,"number":n} on the same subject, where n
// is the last message it has taken, or ends it with {"stop":id}. A client that
// lets the lease lapse, or falls too far behind, is left.
//
// The package promises that hostile input costs bounded memory and work and
// never panics, and that a reply is never sent to a subject that could be
// somebody's live one: inside the prefix only <prefix>.apireply.> takes
// replies, and nothing that begins with $ does. What it leaves to others: what
// the verbs do, which is the [Backend]'s, and the connection, which is the
// caller's.
package api
