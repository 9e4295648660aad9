// Package httpapi is the data API of a node over HTTP/1.1 and HTTP/2: the same
// verbs as package api has on NATS, by the same handlers, with bytes as they are
// and what belongs to them in headers. docs/api.md tells what each request does,
// openapi.json, which is served, describes them for programs.
//
// It promises that hostile requests cost bounded memory and time and never panic,
// that a page of a browser which is not the node's own reaches nothing, and that a
// stream that was cut can be told from one that has ended. It does not encrypt
// unless it is given a certificate, and knows one token, not users: what is finer
// than that is for a proxy in front, or for NATS.
package httpapi
